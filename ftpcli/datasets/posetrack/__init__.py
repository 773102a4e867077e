"""PoseTrack 2017, 2018 and 2021: the files, and the data sets as distributed (needs numpy only)."""
