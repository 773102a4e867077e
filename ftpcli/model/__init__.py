"""The FTP-Pose model, one file per part of the paper. Knows nothing of video."""
