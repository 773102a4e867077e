"""Video and image folders in and out. The only package that imports ``av`` (PyAV).

Times are the source's own: integer ``pts`` in ``VideoInfo.time_base`` ticks, never frame number over rate.
Pixels are those stored in the file, turned upright; non-square pixels are not stretched.
"""

from ftpcli.video.images import ImageFolderReader
from ftpcli.video.opening import MAX_PIXELS
from ftpcli.video.reading import FrameSource, VideoReader, open_source
from ftpcli.video.writing import VideoWriter, check_suffix

__all__ = [
    "MAX_PIXELS",
    "FrameSource",
    "ImageFolderReader",
    "VideoReader",
    "VideoWriter",
    "check_suffix",
    "open_source",
]
