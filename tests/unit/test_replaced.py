"""What makes way for an installation into an existing environment, and comes back."""

from pathlib import Path

from conftest import write_wheel
from wheelferry.client.installer.replaced_files import Replaced
from wheelferry.client.installer.wheels import Layout


def test_a_folder_of_packages_with_two_names_is_one(tmp_path: Path) -> None:
    """Red Hat's Pythons have purelib in lib and platlib in lib64, which is a link to it in an environment."""
    env = tmp_path / "env"
    packages = env / "lib" / "python3.12" / "site-packages"
    (packages / "leaf").mkdir(parents=True)
    (env / "lib64").symlink_to("lib")
    (packages / "leaf" / "__init__.py").write_text("old = True\n", "utf-8")
    info = packages / "leaf-0.1.dist-info"
    info.mkdir()
    (info / "RECORD").write_text(f"leaf/__init__.py,,\n{info.name}/RECORD,,\n", "utf-8")
    wheel = write_wheel(tmp_path / "made", "leaf", "1.0", files={"leaf/__init__.py": b"new = True\n"})
    layout = Layout(
        str(packages), str(env / "lib64" / "python3.12" / "site-packages"), str(env / "bin"), str(env)
    )
    before = {
        path.relative_to(env).as_posix(): path.read_bytes() for path in packages.rglob("*") if path.is_file()
    }

    replaced = Replaced(str(env), str(env / "wheelferry"))
    replaced.set_aside({"leaf"}, [str(wheel)], layout)
    assert [path for path in packages.rglob("*") if path.is_file()] == []
    (packages / "leaf").mkdir()
    (packages / "leaf" / "__init__.py").write_text("new = True\n", "utf-8")
    assert replaced.put_back()
    assert not (env / "wheelferry" / ".replaced").exists()
    after = {
        path.relative_to(env).as_posix(): path.read_bytes() for path in packages.rglob("*") if path.is_file()
    }
    assert after == before


def test_the_folder_of_packages_stays_when_nothing_is_left_in_it(tmp_path: Path) -> None:
    packages = tmp_path / "env" / "lib" / "python3.12" / "site-packages"
    packages.mkdir(parents=True)
    wheel = write_wheel(tmp_path / "made", "leaf", "1.0", files={"leaf/__init__.py": b""})
    env = tmp_path / "env"
    replaced = Replaced(str(env), str(env / "wheelferry"))
    replaced.set_aside(
        {"leaf"}, [str(wheel)], Layout(str(packages), str(packages), str(env / "bin"), str(env))
    )
    (packages / "leaf").mkdir()
    (packages / "leaf" / "__init__.py").touch()
    assert replaced.put_back()
    assert list(packages.iterdir()) == []
