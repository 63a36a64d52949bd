"""The version of this package and its page, in the one place that knows them."""

__version__ = "0.1.0"
PROJECT_URL = "https://pypi.org/project/twisted_oob/"
"""Where people read what it is. ``setup.cfg`` has it, too."""
