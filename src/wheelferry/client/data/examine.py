"""The examination of a data set: all that is wrong with it, at once. It alters nothing."""

from collections import OrderedDict, namedtuple

from wheelferry.client.data import pillow
from wheelferry.client.data.categories import Categories
from wheelferry.client.data.findings import Found
from wheelferry.client.data.formats.coco import Coco
from wheelferry.client.data.locate import locate, unlisted
from wheelferry.client.data.measuring import Comparison, look_at_names, measure_all
from wheelferry.client.data.object_checks import Objects

# How a data set is read: `form` is one of FORMATS or None, `task` one of TASKS or None, `pictures` a folder
# to look for pictures in; `corners` reads boxes as two corners, `one_based` VOC's as counted from 1; `jobs`
# pictures are opened at the same time.
Options = namedtuple(
    "Options", "form task pictures corners one_based jobs", defaults=(None, None, None, False, False, 1)
)


class DataSet(object):
    """What an examination read: the splits with their pictures, the categories, and what was found."""

    def __init__(self, path, options, located, found):
        self.path = path
        self.options = options
        self.form = located.form
        self.located = located
        self.splits = located.splits
        self.found = found
        self.categories = Categories(found)
        self.opened = pillow.is_there()

    def sound(self, split, found):
        """Yield the objects of a split that can be trained on, each with its Category; `found` is told."""
        looked = Objects(found, self.options.task, split.reader.file)
        for thing in split.reader.things(split.pictures, self.options):
            category = self.categories.of(split, thing.category)
            if category is None:
                if thing.category is None or split.reader.named:
                    found.add("category-unknown", thing.picture.labels or split.reader.file, thing.where)
                continue
            split.used.add(category.name)
            # those of pictures that are not good are looked at as well, so that all is told at once
            if looked.look(thing, category) and thing.picture.good:
                yield thing, category
        if looked.order.is_wrong:
            order = looked.order
            told = "%d of %d boxes reach beyond their picture" % (order.beyond, order.boxes)
            found.add("box-order", split.reader.file or split.name, split.name, told)
        if looked.outlined and looked.plain:
            told = "%d have one, %d have none" % (looked.outlined, looked.plain)
            found.add("outline-mixed", split.reader.file or split.name, split.name, told)

    def to_json(self):
        """The result as plain values."""
        return OrderedDict(
            (
                ("path", self.path),
                ("format", self.form),
                ("splits", [_plain(split) for split in self.splits]),
                ("categories", [category.name for category in self.categories.all]),
                ("pictures_opened", self.opened),
                ("problems", self.found.to_json()),
                ("counts", self.found.summary()),
                ("exit_code", 1 if self.found.has_errors else 0),
            )
        )


def _plain(split):
    return OrderedDict(
        (
            ("name", split.name),
            ("pictures", len(split.pictures)),
            ("fit_pictures", sum(1 for picture in split.pictures if picture.good)),
            ("fit_objects", sum(split.counts.values())),
            ("objects_by_category", OrderedDict(sorted(split.counts.items()))),
        )
    )


def examine(path, options, progress):
    """Examine the data set in the folder or file `path`; `progress` has `task(title, total=...)`.

    Raises BadInput where there is none.
    """
    found = Found()
    with progress.task("read labels"):
        located = locate(path, options.form, options.pictures, found)
        data = DataSet(path, options, located, found)
        for split in data.splits:
            split.pictures = split.reader.pictures(split.folders)
            data.categories.add(split)
            look_at_names(split.pictures, found)
    if data.opened:
        _open_pictures(data, progress)
    with progress.task("examine objects", total=sum(len(split.pictures) for split in data.splits)) as step:
        for split in data.splits:
            _examine_objects(data, split, step)
    if not data.splits[0].reader.named:
        data.categories.sort()
    data.categories.compare(data.splits)
    for split in data.splits:
        if isinstance(split.reader, Coco):
            data.categories.gaps(split)
        for picture in split.pictures:
            if picture.good and not picture.objects:
                found.add("picture-empty", picture.name, split.name)
    for name in unlisted(located):
        found.add("picture-unlisted", name)
    return data


def _open_pictures(data, progress):
    known = [(split, picture) for split in data.splits for picture in split.pictures if picture.path]
    comparison = Comparison(data.found)
    with progress.task("open pictures", total=len(known)) as step:
        results = measure_all([picture for _, picture in known], data.options.jobs, step)
        for (split, _), (picture, result) in zip(known, results):
            comparison.look(split.name, picture, result)


def _examine_objects(data, split, step):
    last = None
    for thing, category in data.sound(split, data.found):
        split.counts[category.name] = split.counts.get(category.name, 0) + 1
        thing.picture.objects += 1
        if thing.picture is not last:
            last = thing.picture
            if last.objects == 1:
                step.advance(1)
