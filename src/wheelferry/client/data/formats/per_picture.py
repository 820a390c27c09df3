"""What labelme's JSON and Pascal VOC's XML have in common: one file of labels for each picture."""


class PerPicture(object):
    """The files `files` of a tree, as one split. A format says with `_picture_of` what a file is."""

    named = False
    broken = False
    categories = ()

    def __init__(self, tree, files, found):
        self.file = ""
        self._tree = tree
        self._files = files
        self._found = found

    def pictures(self, _folders):
        """One for each file that can be read."""
        made = []
        users = {}  # type: dict[str, str]
        for file in self._files:
            picture = self._picture_of(file)
            if picture is None:
                continue
            other = users.setdefault(picture.name, file)
            if other != file:
                self._found.add("picture-twice", file, detail="%s, as in %s" % (picture.name, other))
                continue
            made.append(picture)
        return made

    def _picture_of(self, file):
        """The Picture that `file` is about; None, told to `found`, where it cannot be read."""
        raise NotImplementedError
