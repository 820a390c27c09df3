"""Requirements of users: files as pip reads them, and what no index could meet."""

from dataclasses import replace
from pathlib import Path

import pytest

from conftest import RECIPE, TARGET
from wheelferry.errors import InputError
from wheelferry.models.planning.make_plan import make_plan
from wheelferry.models.planning.plan import Cell
from wheelferry.models.planning.requirements import UserRequirement, given_with
from wheelferry.models.recipes.file import parse_recipe
from wheelferry.models.recipes.recipe import Recipe
from wheelferry.models.targets import Target
from wheelferry.system.requirement_files import read_requirement_files

ONE, TWO = "1" * 64, "2" * 64
WINDOWS = replace(TARGET, platform="win_amd64")


def read(path: Path, text: str | bytes) -> list[UserRequirement]:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_requirement_files([path])


def shown(found: list[UserRequirement]) -> list[str]:
    """Each as text: its requirement, the line it begins on, ``c`` for a constraint."""
    return [
        f"{one.requirement} :{one.place.rpartition(':')[2]}{' c' if one.is_constraint else ''}"
        for one in found
    ]


# ----------------------------------------------------------------------------------------------- files

FILES = [
    "numpy>=1.24\nscipy\n",
    "# why\nnumpy>=1.24  # as the paper has it\n\n  scipy\t# also\n",
    "numpy \\\n    >=1.24, \\\n    <3\nscipy\n",
    "numpy>=1.24 \\\n# a comment ends it\nscipy\n",
    "# a comment is not continued \\\nnumpy\n",
    "numpy>=1.24 \\",
    f"attrs==25.1.0 \\\n    --hash=sha256:{ONE} \\\n    --hash sha256:{TWO}\nscipy\n",
    "requests[socks,use_chardet_on_py3]>=2.31\n",
    "tomli>=2; python_version < '3.11' and extra == ''\ncolorama ; sys_platform == \"win32\"  # Windows\n",
    "numpy==${NUMPY}\n",
    "numpy\r\nscipy\r\n",
    "numpy\rscipy\r",
    "numpy\n-r sub/more.txt\nscipy\n",
    "numpy\n--requirement=sub/more.txt\n-c sub/limits.txt\nscipy\n",
    "numpy\n-c'sub/limits.txt'\n",
]


@pytest.mark.parametrize("text", FILES)
def test_a_file_says_what_it_says_to_pip(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip's reader is not public, so it is only what ours is compared with."""
    reader = pytest.importorskip("pip._internal.req.req_file", reason="this pip keeps its reader elsewhere")
    session = pytest.importorskip("pip._internal.network.session")
    monkeypatch.setenv("NUMPY", "2.1")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "more.txt").write_text("leaf\n-r deeper.txt\n", "utf-8")
    (tmp_path / "sub" / "deeper.txt").write_text("twig<3\n", "utf-8")
    (tmp_path / "sub" / "limits.txt").write_text("numpy<3\n", "utf-8")
    path = tmp_path / "my.txt"
    ours = read(path, text)
    theirs = list(reader.parse_requirements(str(path), session.PipSession()))
    assert [(one.name, one.is_constraint) for one in ours] == [
        (given_with(one.requirement).name, one.constraint) for one in theirs
    ]
    assert [str(one.requirement) for one in ours] == [
        str(given_with(one.requirement).requirement) for one in theirs
    ]
    hashes = [one.options.get("hashes", {}).get("sha256", []) for one in theirs]
    assert [one.hashes for one in ours] == [frozenset(found) for found in hashes]
    assert [one.place.rpartition(":")[2] for one in ours] == [one.line_source.split()[1] for one in theirs]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_file_that_a_shell_of_windows_wrote_is_read(tmp_path: Path, encoding: str) -> None:
    assert shown(read(tmp_path / "my.txt", "numpy  # größer\r\nscipy\r\n".encode(encoding))) == [
        "numpy :1",
        "scipy :2",
    ]


def test_a_file_may_name_its_encoding(tmp_path: Path) -> None:
    text = "#!/bin/pip\n# -*- coding: latin-1 -*-\nnumpy  # größer\n"
    assert shown(read(tmp_path / "my.txt", text.encode("latin-1"))) == ["numpy :3"]


def test_a_file_of_no_known_encoding_is_told_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"my\.txt:2: the byte 0xf6 cannot be read as UTF-8") as caught:
        read(tmp_path / "my.txt", "numpy\nscipy  # größer\n".encode("latin-1"))
    assert "# -*- coding: latin-1 -*-" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("line", "said", "hint"),
    [
        ("-e .", "-e is not for a bundle", "--source PATH"),
        ("--editable=./lib", "--editable is not for a bundle", "--wheel FILE"),
        ("-i https://index.example", "-i is not", "pip config set global.index-url URL"),
        ("--index-url=https://index.example", "--index-url is not", "--torch-index"),
        ("--extra-index-url https://index.example", "is not", "global.extra-index-url"),
        ("--no-index", "is not", "global.no-index"),
        ("-f wheels", "is not", "global.find-links"),
        ("--trusted-host index.example", "is not", "global.trusted-host"),
        ("--no-binary :all:", "is not", "--wheel FILE"),
        ("numpy --no-binary numpy", "is not", "--wheel FILE"),
        ("--only-binary :all:", "is not", "the wheel is taken"),
        ("--pre", "is not", "scipy>=1.15rc1"),
        ("--require-hashes", "is not", "held to"),
        ("--frobnicate", "--frobnicate is not", "the options that count"),
        ("./wheels/leaf-1.0-py3-none-any.whl", "a path", "--wheel FILE"),
        ("leaf-1.0-py3-none-any.whl", "a path", "--wheel FILE"),
        ("../lib", "a path", "--wheel FILE"),
        ("lib/leaf", "a path", "--wheel FILE"),
        (r"C:\lib\leaf", "a path", "--wheel FILE"),
        ("numpy @ file:///croot/numpy_and_numpy_base/work", "a path", "pip list --format=freeze"),
        ("leaf @ ./lib", "no package index", "--wheel FILE"),
        ("leaf[x] @ git+https://git.example/leaf@v1", r"an address \(git\+https:\)", "--wheel FILE"),
        ("https://u:secret@files.example/leaf-1.0.tar.gz", r"an address \(https:\)", "--wheel FILE"),
        ("numpy=1.26.4=py312hc5e2394_0", "is not a requirement", "write numpy==1.26.4"),
        ("a b c", "is not a requirement", "scipy>=1.14"),
        ("python>=3.9", "python does not come from a package index", "--python X.Y"),
        ("pytorch==2.5.0", "pytorch does not come", "--torch VERSION"),
        ("numpy==${NOT_SET}", "the environment variable NOT_SET is not set", "set NOT_SET"),
        ("numpy --hash=md5:00", "'md5:00' is not a hash", "sha256:DIGEST"),
        ("numpy --hash=sha256:00", "'sha256:00' is not a hash", "sha256:DIGEST"),
        (f"numpy --hash=sha512:{ONE}{TWO}", "there is no SHA-256", "sha256:DIGEST"),
        (f"--hash=sha256:{ONE}", "it requires nothing", "scipy>=1.14"),
        ("numpy -r more.txt", "-r follows a requirement on the same line", "a line of its own"),
        ("-r my more.txt", "'more.txt' is one word too many", "quotation marks"),
        ("-r 'more.txt", "No closing quotation", "close the quotation"),
        ("-r", "it requires nothing", "-r FILE"),
        ("-r https://files.example/more.txt", "is given by an address", "download"),
        ("-r nowhere.txt", "there is no .*nowhere.txt", "is relative to the folder"),
        ("-r my.txt", "includes itself: .*my.txt → .*my.txt", "take out"),
        ("-r back.txt", "includes itself: .*my.txt → .*back.txt → .*my.txt", "take out"),
        ("-c extras.txt", "a constraint cannot have extras", "-r or --with"),
    ],
)
def test_what_has_no_place_in_a_bundle_is_told_with_what_has(
    tmp_path: Path, line: str, said: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOT_SET", raising=False)
    (tmp_path / "back.txt").write_text("-r my.txt\n", "utf-8")
    (tmp_path / "extras.txt").write_text("leaf[x]<3\n", "utf-8")
    with pytest.raises(InputError, match=rf"{said}") as caught:
        read(tmp_path / "my.txt", f"# mine\n{line}\n")
    named = {"-r back.txt": "back.txt:1", "-c extras.txt": "extras.txt:1"}.get(line, "my.txt:2")
    assert str(caught.value).startswith(f"{tmp_path / named}")
    assert hint in (caught.value.hint or "")
    assert "secret" not in f"{caught.value}{caught.value.hint}"


def test_a_value_from_the_environment_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "secret")
    for line in ("leaf @ https://${TOKEN}@git.example/leaf", "leaf ${TOKEN}", "leaf == ${TOKEN}"):
        with pytest.raises(InputError) as caught:
            read(tmp_path / "my.txt", line)
        assert "secret" not in f"{caught.value}{caught.value.hint}"


def test_every_line_is_told_at_once_and_many_are_counted(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path / "my.txt", "".join(f"p{n} @ file:///croot/p{n}\n" for n in range(60)))
    lines = str(caught.value).splitlines()
    assert [line.split(":")[1] for line in lines[:20]] == [str(number) for number in range(1, 21)]
    assert lines[20:] == ["and 40 more like these"]
    assert len((caught.value.hint or "").splitlines()) == 1


def test_the_same_file_may_be_named_twice(tmp_path: Path) -> None:
    (tmp_path / "base.txt").write_text("leaf\n", "utf-8")
    assert shown(read(tmp_path / "my.txt", "-r base.txt\n-r base.txt\n")) == ["leaf :1", "leaf :1"]


def test_the_option_takes_one_requirement() -> None:
    one = given_with(f"Leaf[x]>=1; python_version > '3' --hash=sha256:{ONE.upper()}")
    assert one.name == "leaf"
    assert one.hashes == {ONE}
    with pytest.raises(InputError, match="names a file") as caught:
        given_with("-r more.txt")
    assert caught.value.hint == "-r more.txt reads it"


# ------------------------------------------------------------------------------------------- conflicts

PAIRS = """
[[torch]]
version = "2.13.0"
python = ">=3.10"
torchvision = "0.28.0"
torchvision_python = ">=3.10"

[[torch]]
version = "2.12.0"
python = ">=3.10"
torchvision = "0.27.0"
torchvision_python = ">=3.10"

[[constraints]]
requires = "numpy<2"

[releases."0.9"]
tree = "0000000000000000000000000000000000000000000000000000000000000000"
version = "0.9"
torch = ">=2.0"
python = ">=3.9"
"""


def paired() -> Recipe:
    before, _, after = RECIPE.partition('[[torch]]\nversion = "2.13.0"\npython = ">=3.10,<3.15"\n')
    return parse_recipe(before + after + PAIRS, file="tiny.toml")


def cell(*required: str, target: Target = TARGET, torch_index: str | None = None) -> Cell:
    asked = [given_with(text) for text in required]
    (planned,) = make_plan(paired(), "1.0", [target], required=asked, torch_index=torch_index).cells
    return planned


@pytest.mark.parametrize(
    ("required", "said", "hint"),
    [
        (["torch==2.12.0"], r"--with 'torch==2\.12\.0': the torch of .* is 2\.13\.0", "--torch 2.12.0"),
        (["torch==2.12.0+cu130"], r"is 2\.13\.0", "--torch 2.12.0 --backend cu130"),
        (["torch==2.13.0+cu130"], r"is 2\.13\.0", "write torch==2.13.0; --backend cu130"),
        (["torch<2.13"], r"is 2\.13\.0", "choose one that fits with --torch"),
        (["torchvision==0.27.0"], r"torchvision 0\.28\.0 is the one", "or take --torch 2.12.0"),
        (["torchvision<0.2"], r"torchvision 0\.28\.0 is the one", "leave torchvision out"),
        (["tiny==0.9"], r"the bundle is of tiny 1\.0\+pt2\.13\.0cpu", "or make the bundle of tiny@0.9"),
        (["Tiny>1.1"], "the bundle is of tiny", "leave tiny out"),
        ([f"tiny --hash=sha256:{ONE}"], "its hash is not known before", "leave the hash out"),
        (["numpy>=2"], "the recipe tiny needs numpy<2", "that numpy<2 allows"),
        (["leaf<1", "LEAF>=2"], r"LEAF>=2 excludes leaf<1 \(--with 'leaf<1'\)", "that both allow"),
        (
            [f"leaf --hash=sha256:{ONE}", f"leaf --hash=sha256:{TWO}"],
            "it has no hash in common",
            "the same hashes",
        ),
        (["leaf; sys_platform == 'win32'"], "its marker is true for no target", "other targets"),
        (["leaf; python_version < '3'"], "its marker is true for no target", "leave the marker"),
    ],
)
def test_what_no_index_can_meet_is_refused_by_the_plan(required: list[str], said: str, hint: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        cell(*required)
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    "required",
    [
        ["torch==2.13.0", "torch>=2", "torch"],
        ["torch==2.13.0+cpu", "torchvision==0.28.0+cpu"],
        ["torchvision==0.28.*"],
        ["tiny==1.0", "tiny[x]>=0.9", "tiny==1.0+pt2.13.0cpu"],
        ["numpy==1.26.4"],
        ["leaf>=1", "leaf<2", "twig==1; sys_platform == 'linux'"],
        ["leaf==2.0rc1"],
    ],
)
def test_what_can_be_met_is_planned(required: list[str]) -> None:
    assert cell(*required).requirements[-1] == str(given_with(required[-1]).requirement)


def test_all_conflicts_are_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        cell("torch==2.12.0", "numpy>=2")
    assert len(str(caught.value).splitlines()) == 2


def test_a_build_that_the_users_own_index_cannot_have_is_refused() -> None:
    with pytest.raises(InputError, match=r"is 2\.13\.0"):
        cell("torch==2.13.0+cpu", target=replace(TARGET, backend="default"))


def test_a_line_of_a_file_may_be_for_other_targets(tmp_path: Path) -> None:
    path = tmp_path / "my.txt"
    asked = read(path, "colorama; sys_platform == 'win32'\nleaf\n")
    (planned,) = make_plan(paired(), "1.0", [TARGET], required=asked).cells
    assert planned.requirements[-1] == "leaf"
    assert [(one.name, one.place) for one in planned.left_out] == [("colorama", f"{path}:1")]


def test_an_option_has_to_count_for_one_of_the_targets() -> None:
    text = RECIPE.replace('version = "2.13.0"', 'version = "2.13.0"\nwindows = ">=3.10"')
    asked = [given_with("colorama; sys_platform == 'win32'")]
    linux, windows = make_plan(parse_recipe(text, file="t"), "1.0", [TARGET, WINDOWS], required=asked).cells
    assert [one.name for one in linux.left_out] == ["colorama"]
    assert windows.required == tuple(asked)


def test_constraints_and_hashes_are_kept_apart(tmp_path: Path) -> None:
    (tmp_path / "limits.txt").write_text("twig<3\n", "utf-8")
    asked = read(tmp_path / "my.txt", f"leaf==1.5 --hash=sha256:{ONE} --hash=sha256:{TWO}\n-c limits.txt\n")
    asked += [given_with(f"leaf --hash=sha256:{TWO}")]
    (planned,) = make_plan(paired(), "1.0", [TARGET], required=asked).cells
    assert planned.user_constraints == ("twig<3",)
    assert "twig<3" not in (*planned.constraints, *planned.requirements)
    assert dict(planned.hashes) == {"leaf": frozenset({TWO})}


@pytest.mark.parametrize(
    "name", ["environment.yml", "pyproject.toml", "poetry.lock", "Pipfile.lock", "installed.JSON"]
)
def test_the_file_of_another_tool_is_told_as_such(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("dependencies:\n  - numpy=1.26\n", "utf-8")
    with pytest.raises(InputError) as caught:
        read_requirement_files([tmp_path / name])
    assert str(caught.value) == f"{tmp_path / name} is not a requirements file"
    assert "have one written: `" in str(caught.value.hint)
