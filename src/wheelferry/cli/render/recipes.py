"""What recipes prints."""

from wheelferry.catalog import load_recipe, recipe_files
from wheelferry.cli.console import print_json, print_line, print_table


def show_recipes(*, as_json: bool) -> None:
    """The recipes there are: the user's own, and those that are shipped."""
    found = [load_recipe(name).recipe for name in sorted(recipe_files())]
    if as_json:
        print_json(
            {"recipes": [{"name": r.name, "summary": r.summary, "releases": list(r.releases)} for r in found]}
        )
        return
    print_table(
        "recipes", ["name", "what", "releases"], [[r.name, r.summary, ", ".join(r.releases)] for r in found]
    )


def show_recipe(name: str, *, as_json: bool) -> None:
    """One recipe: its releases, and what each lives with."""
    recipe = load_recipe(name).recipe
    if as_json:
        print_json(recipe.model_dump(mode="json"))
        return
    print_line(f"{recipe.name}: {recipe.summary} ({recipe.license})")
    rows = [[n, r.version, r.torch, r.python, r.pin[:12]] for n, r in recipe.releases.items()]
    print_table("releases", ["release", "version", "torch", "Python", "commit"], rows)
    pairs = [
        [t.version, t.torchvision or "", t.python, t.windows or "—", t.cuda or "", " ".join(t.other_cuda)]
        for t in recipe.torch
    ]
    columns = [
        "torch",
        "torchvision",
        "Python (Linux)",
        "Python (Windows)",
        "CUDA on PyPI",
        "CUDA on PyTorch's index",
    ]
    print_table("torch", columns, pairs)
    if recipe.assets:
        assets = [[a.name, a.url, "--asset" if a.optional else "always", a.licence] for a in recipe.assets]
        print_table("weights and data", ["name", "from", "travels", "licence"], assets)
    if recipe.apps:
        apps = [[p.name, p.help, "--app" if p.is_optional else "always"] for p in recipe.apps.programs]
        print_table("programs for clients", ["name", "what", "travels"], apps)
