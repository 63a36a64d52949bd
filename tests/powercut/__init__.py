"""Power cuts: files that were answered are on the disk, whatever file system it has.

Run by root, by hand::

    python -m tests.powercut [--cuts 25] [--seconds 4] [--seed 1] [ext2 ext4 ...]

It needs e2fsprogs, xfsprogs and btrfs-progs, and takes about two minutes. The status is 1 if it
found anything.

For each file system, a process fetches files for some seconds onto a disk that records all that is
written to it (``recorded_disk``). Then the power is cut at random moments of the recording. Of what
the disk had not flushed yet, all is kept, or nothing, or a random part of its blocks, as a disk
with a cache of its own may do. A file system without a journal is spared the random part: half
a write can destroy it. Each time the file system is repaired as at a boot, and mounted:

- each file that was answered before the cut must be there, with all its bytes;
- whatever else has a final name must be the whole file of that name, and none that failed.

What it proves: that we ask the system for all it needs, in the right order, and that these file
systems then keep it. It can't prove that a disk is honest about its flushes. Nor does it cut what
happens within one block of 4 KiB.

ext4 with fast_commit, which is off unless somebody asks for it, is only shown. On Linux 6.18, a few
cuts in a hundred leave a journal that can't be read, whichever way files get their names, and with
it all that it held is lost. e2fsck 1.47.0 is no better at it.
"""
