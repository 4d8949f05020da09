"""Completion of a command line by the shell."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.services.command_line import PROGRAM, environment, separately

# Prints the words to which bash completes a line when Tab is pressed at its end.
BASH = """
source "$1"
COMP_WORDS=("${@:2}"); COMP_CWORD=$(($# - 2)); COMPREPLY=()
_hyperpage
printf '%s\n' "${COMPREPLY[@]}"
"""
# The last function of the script completes what stands in a single quote that is still open.
BODY = BASH.replace("\n_hyperpage\n", "\n_hyperpage_or_body\n")


# In a terminal of its own, where Ctrl-X shows what the line has become.
ZSH = """
zmodload zsh/zpty
zpty shell zsh -i
zpty -w shell 'show() { print -r -- "<$BUFFER>"; zle send-break }; zle -N show; bindkey "^X" show'
zpty -w shell 'print "<"up">"'
zpty -r shell said '*<up>*'
for line in "$@"; do
  zpty -wn shell "$line"$'\t\x18'
  zpty -r shell said '*<hyperpage *>*'
  print -r -- "${${said##*<}%%>*}"
done
"""


def put_on_the_path(folder: Path) -> None:
    program = folder / "hyperpage"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(PROGRAM)} "$@"\n')
    program.chmod(0o700)


def test_the_shell_completes_commands_tables_and_choices(tmp_path):
    installed = separately("--install-completion", "--shell", "bash", HOME=str(tmp_path))
    assert installed.code == 0, installed
    [script] = [path for path in tmp_path.rglob("*hyperpage*") if path.is_file()]
    put_on_the_path(tmp_path)

    def completed(*words: str, program: str = BASH) -> list[str]:
        done = subprocess.run(
            ["bash", "--norc", "-c", program, "bash", script, *words],
            capture_output=True,
            text=True,
            timeout=30,
            env=environment(PATH=f"{tmp_path}:{os.environ['PATH']}"),
            check=True,
        )
        assert done.stderr == ""
        return done.stdout.split() if program == BASH else done.stdout.splitlines()

    assert completed("hyperpage", "sen") == ["send"]
    assert completed("hyperpage", "send", "jobs.c") == [
        "jobs.claim",
        "jobs.complete",
        "jobs.cancel",
        "jobs.cancel_many",
    ]
    assert completed("hyperpage", "query", "jobs.hi") == ["jobs.history"]
    assert completed("hyperpage", "tail", "--table", "app") == ["app_state"]
    assert completed("hyperpage", "schema", "job.compl") == ["job.completed.v1"]
    assert completed("hyperpage", "schema", "--format", "a") == ["asyncapi"]
    assert completed("hyperpage", "serve", "--log-level", "W") == ["WARNING"]
    # A single candidate is given twice, since bash would close the quote behind a single one.
    member = completed("hyperpage", "send", "jobs.enqueue", "'{\"ty", program=BODY)
    assert [one.rstrip() for one in member] == ['{"type":'] * 2
    values = completed("hyperpage", "query", "jobs.list", '\'{"limit": 2, "state": "c', program=BODY)
    assert values == ['{"limit": 2, "state": "cancelled"', '{"limit": 2, "state": "completed"']


# A terminal, and a start of the program for each line.
@pytest.mark.prove
@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not there (Debian's package `zsh` has it)")
def test_zsh_completes_the_same(tmp_path):
    (tmp_path / ".zshrc").write_text("autoload -Uz compinit\ncompinit -u\n")
    assert separately("--install-completion", "--shell", "zsh", HOME=str(tmp_path)).code == 0
    put_on_the_path(tmp_path)
    whole = {
        "hyperpage sen": "send ",
        "hyperpage send jobs.compl": "jobs.complete ",
        "hyperpage query jobs.hi": "jobs.history ",
        "hyperpage tail --table app": "app_state ",
        "hyperpage schema job.compl": "job.completed.v1 ",
        "hyperpage schema --format a": "asyncapi ",
        "hyperpage serve --log-level W": "WARNING ",
    }

    done = subprocess.run(
        ["zsh", "-f", "-c", ZSH, "zsh", *whole],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(HOME=str(tmp_path), PATH=f"{tmp_path}:{os.environ['PATH']}"),
        check=True,
    )

    assert done.stdout.splitlines() == [f"{line.rpartition(' ')[0]} {word}" for line, word in whole.items()]
