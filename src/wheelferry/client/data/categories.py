"""The categories of all splits as one list by name, and what is wrong with them."""

from wheelferry.client.data.values import Category


class Categories(object):
    """`names` is the common list, in order; `of(split, number)` finds the Category that an object has."""

    def __init__(self, found):
        self.all = []
        self._found = found
        self._by_name = {}
        self._by_split = {}
        self._looked_at = []

    def add(self, split):
        """Take in the categories that a split lists; none for formats in which objects name them."""
        reader = split.reader
        own = {}
        twice = set()
        told = any(reader.categories is other for other in self._looked_at)
        self._looked_at.append(reader.categories)
        names = {}  # type: dict[str, int]
        for category in reader.categories:
            where = "id %s (%s)" % (category.number, category.name)
            if not category.name.strip():
                if not told:
                    self._found.add("category-name", reader.file, where)
                continue
            if category.number in own:
                self._found.add("category-id-twice", reader.file, where)
                twice.add(category.number)
                continue
            other = names.setdefault(category.name, category.number)
            if other != category.number and not told:
                self._found.add("category-name-twice", reader.file, where, "as id %s" % other)
            own[category.number] = self._common(category)
        for number in twice:
            del own[number]
        self._by_split[split.name] = own

    def _common(self, category):
        if category.name not in self._by_name:
            self._by_name[category.name] = category
            self.all.append(category)
        return self._by_name[category.name]

    def of(self, split, number):
        """The Category that objects of a split call `number`; None for an unknown one."""
        if split.reader.named:
            return self._by_split[split.name].get(number)
        return self._common(Category(number, number))

    def sort(self):
        """Put those that were named by objects into an order that does not depend on the files'."""
        self.all.sort(key=lambda category: category.name)

    def compare(self, splits):
        """Name what differs between splits, and what nobody uses."""
        if any(split.reader.broken for split in splits):
            return  # what cannot be read is told, and all else would follow from it
        lists = [(split, self._by_split[split.name]) for split in splits if split.reader.named]
        first = {number: category.name for number, category in lists[0][1].items()} if lists else {}
        for split, own in lists[1:]:
            names = {number: category.name for number, category in own.items()}
            for number in sorted(set(first) | set(names)):
                if first.get(number) != names.get(number):
                    told = "id %s is %s in %s, %s in %s" % (
                        number, first.get(number), lists[0][0].name, names.get(number), split.name,
                    )  # fmt: skip
                    self._found.add("categories-differ", split.reader.file, "id %s" % number, told)
        self._usage(splits)
        self._spelling()

    def gaps(self, split):
        """Name ids that are not 1, 2, 3 …"""
        numbers = sorted(self._by_split[split.name])
        if numbers and numbers != list(range(1, len(numbers) + 1)):
            told = ", ".join(str(number) for number in numbers[:8]) + (" …" if len(numbers) > 8 else "")
            self._found.add("category-gaps", split.reader.file, detail=told)

    def _usage(self, splits):
        used = [split for split in splits if split.used]
        for category in self.all:
            having = [split.name for split in used if category.name in split.used]
            if not having:
                self._found.add("category-unused", splits[0].reader.file, category.name)
            elif len(having) < len(used):
                lacking = [split.name for split in used if split.name not in having]
                told = "in %s, not in %s" % (", ".join(having), ", ".join(lacking))
                self._found.add("category-in-one-split", splits[0].reader.file, category.name, told)

    def _spelling(self):
        spelled = {}  # type: dict[str, str]
        for category in self.all:
            other = spelled.setdefault("".join(category.name.casefold().split()), category.name)
            if other != category.name:
                self._found.add("category-spelling", category.name, detail=other)
