"""A web page that shows what a model finds in pictures, for programs that `wheelferry bundle --app` carries.

A recipe's program brings the model and calls `command.run`. All else is here: the server, the queue, the
page and the acceptance record. It runs in the installed environment on Python 3.7 or newer, with Flask,
waitress, numpy and Pillow.

The model is an object with

- `names`: the names of the classes, in the order of the labels;
- `skeleton`: pairs of numbers of keypoints that the page joins by a line, empty where there are none;
- `keypoint_names`: the names of the keypoints, empty where there are none;
- `facts`: pairs of texts about it (its weights and their hash, the device), in the order to show them;
- `predict(pixels)`: for RGB pixels, uint8 [H, W, 3], a list of `predictions.Instance`.
"""
