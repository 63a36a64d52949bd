"""Power cuts: files that were answered are on the disk, whatever file system it has.

Run by root, by hand::

    python -m tests.powercut [--cuts 25] [--seconds 4] [--seed 1] [ext2 ext4 ...]

For each file system, a process fetches files for some seconds onto a disk that records all that is
written to it (``recorded_disk``). Then the power is cut at random moments of the recording. Of what
the disk had not flushed yet, all is kept, or nothing, or a random part of its blocks, as a disk
with a cache of its own may do. Each time the file system is repaired as at a boot, and mounted:

- each file that was answered before the cut must be there, with all its bytes;
- whatever else has a final name must be the whole file of that name, and none that failed.

What it proves: that we ask the system for all it needs, in the right order, and that these file
systems then keep it. It can't prove that a disk is honest about its flushes. Nor does it cut what
happens within one block of 4 KiB.
"""
