"""From a person in a window of frames to joints: crops, views, tokens, the model at work, smoothing."""
