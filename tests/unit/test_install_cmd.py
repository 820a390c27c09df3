"""install.cmd and the launchers for Windows as texts: cmd and PowerShell see a slip when they get there."""

import re
from pathlib import Path

import pytest
import tree_sitter
import tree_sitter_batch
import tree_sitter_powershell

import wheelferry
from wheelferry.bundle.zipapp import write_installer, write_transfer
from wheelferry.client.installer import launchers

SOURCE = Path(wheelferry.__file__).parent / "client" / "installer" / "install.cmd"
BATCH = tree_sitter.Parser(tree_sitter.Language(tree_sitter_batch.language()))
POWERSHELL = tree_sitter.Parser(tree_sitter.Language(tree_sitter_powershell.language()))
# What cmd takes from a batch file, variables expanded.
_LONGEST_LINE = 8191


def launcher(name: str) -> str:
    return str(launchers.windows_launchers()[name])


def faults(parser: tree_sitter.Parser, text: str) -> list[str]:
    """The lines in which the parser finds something that is not of its language."""
    waiting, found = [parser.parse(text.encode()).root_node], []
    while waiting:
        node = waiting.pop()
        if node.is_error or node.is_missing:
            found.append(text.splitlines()[node.start_point[0]])
        waiting += node.children
    return sorted(set(found))


def powershell_texts(text: str) -> list[str]:
    """The quoted texts after -Command, with the variables of cmd in their places."""
    values = dict(re.findall(r'^ *set "(\w+)=(.*)"\r?$', text, re.MULTILINE))
    given = re.findall(r'-Command "([^"]*)"', text)
    return [re.sub(r"%+(\w+)%+", lambda match: values[match[1]], one) for one in given]


@pytest.mark.parametrize("name", ["install.cmd", "apply.cmd", "join.cmd", "python.cmd", "wheelferry.cmd"])
def test_a_batch_file_is_one(tmp_path: Path, name: str) -> None:
    write_installer(tmp_path)
    for verb in ("apply", "join"):
        write_transfer(tmp_path, verb, f"{verb}.json", "ask for it again")
    written = tmp_path / name
    text = written.read_bytes().decode("ascii") if written.exists() else launcher(name)
    lines = text.split("\n")
    assert all(line.endswith("\r") for line in lines[:-1])
    assert lines[-1] == ""
    assert max(map(len, lines)) < _LONGEST_LINE
    assert faults(BATCH, text) == []


def test_what_powershell_is_given_is_powershell() -> None:
    texts = powershell_texts(SOURCE.read_text("utf-8"))
    assert len(texts) == 2
    for text in texts:
        assert "%" not in text
        assert faults(POWERSHELL, text) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('set "STATUS=4"\n    exit /b\n)', 'set "STATUS=4"\n    exit /b\n'),
        (") do (", ") do"),
        ('if "%ERRORLEVEL%"=="0" goto start', 'if "%ERRORLEVEL%"== goto'),
    ],
)
def test_a_slip_in_the_batch_file_is_seen(old: str, new: str) -> None:
    text = SOURCE.read_text("utf-8")
    assert old in text
    assert faults(BATCH, text.replace(old, new, 1)) != []


def test_a_slip_in_powershell_is_seen() -> None:
    (_, asked) = powershell_texts(SOURCE.read_text("utf-8"))
    assert faults(POWERSHELL, asked.replace(")", "", 1)) != []


def test_every_variable_of_install_cmd_is_set_before_or_comes_from_windows() -> None:
    text = SOURCE.read_text("utf-8")
    used = set(re.findall(r"%(\w+?)(?::[^%]*)?%", text)) | set(re.findall(r"\$env:(\w+)", text))
    known = {"ERRORLEVEL", "SystemRoot", "TEMP", "RANDOM"}
    assert used - known <= set(re.findall(r'\bset "?(\w+)=', text))
