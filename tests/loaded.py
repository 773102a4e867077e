"""What the server of tests/tiny.py loads once, so that each command it forks starts in no time."""

import ftpcli.annotating
import ftpcli.cli
import ftpcli.detector
import ftpcli.estimator
import ftpcli.inputs
import ftpcli.video  # noqa: F401
