"""What the server of tests/support/tiny.py loads once, so that each command it forks starts in no time."""

import ftpcli.annotation.outputs
import ftpcli.cli.app
import ftpcli.files.inputs
import ftpcli.people.loading
import ftpcli.pose.estimator
import ftpcli.video  # noqa: F401
