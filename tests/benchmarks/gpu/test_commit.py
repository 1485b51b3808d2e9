"""The commit that was measured."""

import subprocess

from gpu.commit import commit


def git(folder, *words):
    name = ("-c", "user.name=a", "-c", "user.email=a@b")
    done = subprocess.run(["git", *name, *words], cwd=folder, check=True, capture_output=True, text=True)  # noqa: S603, S607
    return done.stdout.strip()


def test_the_commit_and_whether_files_differ_from_it(tmp_path):
    git(tmp_path, "init")
    (tmp_path / "file").write_text("1")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-m", "one")
    sha = git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "report").write_text("not under version control")
    assert commit(tmp_path) == sha
    (tmp_path / "file").write_text("2")
    assert commit(tmp_path) == f"{sha} with changes"


def test_without_git_it_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit(tmp_path) == "unknown"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit(tmp_path) == "unknown"
