"""What a forked child begins anew."""

from __future__ import annotations

import gc
import os

from twisted_oob.files import forks
from twisted_oob.files.forks import tell_of_forks


class One:
    told = 0

    def forget_parent(self):
        self.told += 1


def test_a_child_is_told_and_the_parent_is_not():
    one = One()
    tell_of_forks(one)
    child = os.fork()
    if child == 0:
        os._exit(one.told)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert one.told == 0


def test_nobody_is_kept_for_it():
    before = len(forks._known)
    one = One()
    tell_of_forks(one)
    assert len(forks._known) == before + 1
    del one
    gc.collect()
    assert len(forks._known) <= before
