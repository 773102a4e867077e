"""ftp: annotates people in video with the FTP-Pose model."""

__version__ = "0.1.0"
