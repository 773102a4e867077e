"""Who is where: the person detector, trackers, boxes from files, gaps. The only package that imports ultralytics."""
