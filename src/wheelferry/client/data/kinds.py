"""Every kind of thing that an examination names: how grave it is, what it means, what a conversion does."""

from collections import OrderedDict, namedtuple

ERROR = "error"
WARNING = "warning"
NOTE = "note"
LEVELS = (ERROR, WARNING, NOTE)

# What a conversion does about it.
PICTURE_OUT = "the picture is left out with its objects"
OBJECT_OUT = "the object is left out"
CLIPPED = "clipped to the picture"
KEPT = "kept as it is"
NUMBERED = "numbered anew"
COMPUTED = "computed anew"
SHAPE_OUT = "the outline is left out; the object too where --task masks needs it"
POINTS_OUT = "the keypoints are left out; the object too where --task keypoints needs them"
NOT_READ = "left out"

Kind = namedtuple("Kind", "code level meaning done")

_ROWS = (
    # the files of the data set
    ("labels-unreadable", ERROR, "a label file cannot be read", NOT_READ),
    (
        "labels-encoding",
        WARNING,
        "a label file is UTF-16 or begins with a byte order mark",
        "read as the mark says",
    ),
    ("line-ends", NOTE, "lines end as on Windows", "read as if they did not"),
    ("blank-lines", NOTE, "blank lines between labels", "passed over"),
    (
        "section-twice",
        ERROR,
        "a part of the JSON file is there twice; most readers take the last",
        "both are read",
    ),
    ("labels-without-picture", WARNING, "labels for a picture that is not there", NOT_READ),
    ("labels-missing", ERROR, "a list names an entry that has no label file", NOT_READ),
    ("split-missing", ERROR, "a folder or list that data.yaml names is not there, or lies outside", NOT_READ),
    ("names-count", ERROR, "data.yaml states another number of classes than it has names", "the names count"),
    ("names-missing", WARNING, "no file names the classes", "called by their numbers"),
    # pictures
    ("picture-missing", ERROR, "a picture is not there", PICTURE_OUT),
    ("picture-outside", ERROR, "a picture's path is absolute or leads out of its folder", PICTURE_OUT),
    ("picture-unreadable", ERROR, "a file is no picture that Pillow can read", PICTURE_OUT),
    ("picture-truncated", ERROR, "a picture is cut off or damaged", PICTURE_OUT),
    ("picture-too-large", ERROR, "a picture has more pixels than Pillow opens", PICTURE_OUT),
    ("picture-size", ERROR, "a picture has another size than the labels state", PICTURE_OUT),
    (
        "picture-turned-size",
        ERROR,
        "the labels were made on the stored picture, but loaders turn it as its orientation tag says",
        PICTURE_OUT,
    ),
    (
        "picture-turned-tiff",
        ERROR,
        "a TIFF with an orientation tag: loaders turn it twice or scramble it",
        PICTURE_OUT,
    ),
    ("picture-turned", WARNING, "a picture has an orientation tag, which not every program obeys", KEPT),
    ("picture-deep", ERROR, "grey levels of more than 8 bits: loaders cut them off at 255", PICTURE_OUT),
    ("picture-mode", WARNING, "a picture that loses something when it is read as RGB", KEPT),
    ("picture-frames", WARNING, "several pictures in one file; loaders take the first", KEPT),
    ("picture-format", WARNING, "the file is of another format than its name says", KEPT),
    ("picture-size-unstated", WARNING, "the labels state no size for a picture", "the picture's own"),
    ("picture-twice", ERROR, "two entries for one picture file: it is trained and scored twice", "made one"),
    (
        "picture-id-twice",
        ERROR,
        "one id for two pictures: nobody can tell whose the objects are",
        PICTURE_OUT,
    ),
    ("picture-id-large", WARNING, "ids from 2^53 on, which some evaluations round", NUMBERED),
    (
        "picture-id-kind",
        ERROR,
        "a picture id that is no whole number: COCO's evaluation fails on it",
        NUMBERED,
    ),
    (
        "picture-slashes",
        WARNING,
        "a path with backslashes, which only Windows understands",
        "written with slashes",
    ),
    (
        "picture-case",
        WARNING,
        "a name in other case than the file's, which only Windows finds",
        "the file's own name",
    ),
    (
        "names-collide",
        WARNING,
        "two pictures whose names differ in nothing but case",
        "one gets another name",
    ),
    ("picture-name", NOTE, "a name with blanks or letters beyond ASCII", KEPT),
    ("picture-name-windows", WARNING, "a name that Windows cannot have", "gets another name"),
    ("picture-unlisted", NOTE, "a picture that no label file mentions", NOT_READ),
    ("picture-empty", NOTE, "a picture without an object: background", KEPT),
    ("picture-embedded", WARNING, "a picture that is only inside its label file", "written as a file"),
    ("same-bytes", WARNING, "one picture under two names in the same split", KEPT),
    ("same-pixels", WARNING, "two files with the same pixels in the same split", KEPT),
    ("in-two-splits", WARNING, "the same picture in two splits: the score will be too good", KEPT),
    (
        "voc-filename",
        WARNING,
        "<filename> names another picture than the one beside the XML file",
        "the one beside it",
    ),
    (
        "voc-one-based",
        NOTE,
        "a label file of the original Pascal VOC, which counts pixels from 1",
        "counted from 0, as everywhere else",
    ),
    # categories
    ("category-unknown", ERROR, "an object of a category that is not listed", OBJECT_OUT),
    ("category-name", ERROR, "a category without a name", OBJECT_OUT),
    ("category-id", ERROR, "a category whose id is no whole number", OBJECT_OUT),
    ("category-id-twice", ERROR, "one id for two categories", OBJECT_OUT),
    ("category-name-twice", ERROR, "two categories of one name", "made one"),
    ("category-spelling", WARNING, "categories whose names differ only in case or blanks", KEPT),
    ("category-unused", WARNING, "a category without an object", KEPT),
    ("category-gaps", NOTE, "the ids of the categories have gaps or do not begin with 1", NUMBERED),
    (
        "categories-differ",
        ERROR,
        "two splits give a category different ids, or list different ones",
        "one list for all",
    ),
    ("category-in-one-split", WARNING, "a category that only one of the splits has objects of", KEPT),
    # objects
    ("object-broken", ERROR, "an entry or a line that is no object", OBJECT_OUT),
    ("picture-unknown", ERROR, "an object of a picture that is not listed", OBJECT_OUT),
    ("object-id-zero", ERROR, "id 0: COCO's evaluation counts the object as never found", NUMBERED),
    ("object-id-twice", ERROR, "one id for two objects: COCO's evaluation mixes them up", NUMBERED),
    ("object-id", ERROR, "an object without an id, or with one that is no whole number", NUMBERED),
    ("object-twice", WARNING, "an object that is there twice", KEPT),
    ("object-ignored", ERROR, "an object marked `ignore`, which COCO's loaders refuse", OBJECT_OUT),
    ("object-difficult", NOTE, "objects marked `difficult`", "kept as ordinary objects"),
    (
        "crowd-value",
        ERROR,
        "`iscrowd` is missing or neither 0 nor 1; COCO's evaluation needs it",
        "0 is written",
    ),
    ("crowd-outline", WARNING, "`iscrowd` with polygons: the object is neither trained nor scored", KEPT),
    ("area-missing", ERROR, "an object without an area; COCO's evaluation needs it", COMPUTED),
    ("area-wrong", WARNING, "an area that the outline or the box does not have", COMPUTED),
    # boxes
    ("box-missing", ERROR, "an object without a box", "taken from the outline; without one, " + OBJECT_OUT),
    ("box-numbers", ERROR, "a box that is not four finite numbers", OBJECT_OUT),
    ("decimal-comma", ERROR, "numbers with a decimal comma", OBJECT_OUT),
    ("box-empty", ERROR, "a box without width or height", OBJECT_OUT),
    ("box-reversed", ERROR, "a box whose end lies before its beginning", OBJECT_OUT),
    ("box-outside", ERROR, "a box that lies outside of the picture", OBJECT_OUT),
    ("box-beyond", WARNING, "a box that reaches beyond the picture", CLIPPED),
    ("box-tiny", WARNING, "a box of less than one pixel", KEPT),
    (
        "box-order",
        ERROR,
        "boxes that fit as two corners, but not in the order that the format has",
        "refused; --corners reads them as two corners",
    ),
    ("box-unlike-outline", WARNING, "a box that does not fit the object's outline", KEPT),
    ("not-fractions", ERROR, "numbers beyond 0 to 1, where YOLO has fractions of the picture", OBJECT_OUT),
    ("class-number", ERROR, "a class that is no whole number from 0 on", OBJECT_OUT),
    ("confidence", WARNING, "a sixth number: predictions rather than labels?", "not read"),
    # outlines
    ("outline-missing", ERROR, "an object without an outline, and --task masks needs one", OBJECT_OUT),
    ("outline-mixed", WARNING, "some objects have an outline and some have none", KEPT),
    ("polygon-short", ERROR, "a polygon of fewer than three points", SHAPE_OUT),
    ("polygon-odd", ERROR, "a polygon with an odd count of numbers", SHAPE_OUT),
    ("polygon-numbers", ERROR, "a polygon with something that is no finite number", SHAPE_OUT),
    ("polygon-flat", ERROR, "a polygon that is not inside a list of polygons", "put into one"),
    ("polygon-empty", ERROR, "a polygon without area", SHAPE_OUT),
    ("polygon-beyond", WARNING, "a polygon that reaches beyond the picture", CLIPPED),
    ("outline-kind", ERROR, "an outline that is neither polygons nor a run-length code", SHAPE_OUT),
    ("rle-broken", ERROR, "a run-length code that cannot be read", SHAPE_OUT),
    ("rle-size", ERROR, "a run-length code of another size than the picture", SHAPE_OUT),
    ("rle-empty", ERROR, "a run-length code without a pixel", SHAPE_OUT),
    ("rle-object", WARNING, "a run-length code for a single object: some trainers take polygons only", KEPT),
    # keypoints
    ("keypoints-missing", ERROR, "an object without keypoints, and --task keypoints needs them", OBJECT_OUT),
    ("keypoints-count", ERROR, "another number of keypoints than the category has", POINTS_OUT),
    ("keypoints-numbers", ERROR, "keypoints that are not finite numbers", POINTS_OUT),
    ("keypoints-unnamed", WARNING, "a category that does not name its keypoints", KEPT),
    ("keypoints-flag", ERROR, "a keypoint whose visibility is not 0, 1 or 2", POINTS_OUT),
    ("keypoints-number", ERROR, "`num_keypoints` is missing or wrong; COCO's evaluation needs it", COMPUTED),
    ("keypoints-outside", WARNING, "a keypoint outside of the picture", KEPT),
    (
        "skeleton",
        WARNING,
        "a skeleton that names a keypoint which the category has not",
        "the skeleton is left out",
    ),
    # labelme
    ("shape-kind", ERROR, "a shape of a kind that labelme does not have", OBJECT_OUT),
    ("shape-broken", ERROR, "a shape without the points that its kind has", OBJECT_OUT),
    ("shape-without-area", WARNING, "a line or a point, which is no object", OBJECT_OUT),
    ("shape-circle", NOTE, "a circle", "a polygon of 32 corners"),
    ("shape-group", NOTE, "shapes of one label and group", "made one object"),
)

KINDS = OrderedDict((row[0], Kind(*row)) for row in _ROWS)
