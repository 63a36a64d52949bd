"""What a forked child begins anew."""

from __future__ import annotations

import gc

from tests.support.fetching import step
from twisted_oob.files import forks
from twisted_oob.files.forks import tell_of_forks

pytest_plugins = ["tests.support.python_process"]


class One:
    def forget_parent(self):
        pass


FORKED = """
import os
from twisted_oob.files.forks import tell_of_forks

class One:
    told = 0
    def forget_parent(self):
        self.told += 1

one = One()
tell_of_forks(one)
if child := os.fork():
    print("child:", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), "parent:", one.told)
else:
    os._exit(one.told)
"""


@step
async def test_a_child_is_told_and_the_parent_is_not(python):
    program = python(FORKED)
    assert await program.finished() == 0
    assert program.output == "child: 1 parent: 0\n"


def test_nobody_is_kept_for_it():
    before = len(forks._known)
    one = One()
    tell_of_forks(one)
    assert len(forks._known) == before + 1
    del one
    gc.collect()
    assert len(forks._known) <= before
