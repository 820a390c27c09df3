"""Whether a machine has the packages that a thin bundle requires and does not carry."""

import re

from wheelferry.client.preflight.findings import NOTE, OK, PROBLEM, Finding

# What stands for the CUDA of a torch that is built without.
NO_CUDA = "none"
_REMEDY = (
    "name the Python that has them with --python, or its environment with --into; or have a bundle made for "
    "what is here (wheelferry probe --python ENV --out FILE here, bundle --present FILE there)"
)


def shown(package):
    """A package as a person says it: torch 2.11.0 (CUDA 13.0)."""
    cuda = package.get("cuda")
    built = " (without CUDA)" if cuda == NO_CUDA else " (CUDA %s)" % cuda if cuda else ""
    return "%s %s%s" % (package["name"], package["version"], built)


def same_version(wanted, found):
    """Whether `found` is the version `wanted`; its local part counts only where `wanted` has one."""
    public, _, local = wanted.lower().partition("+")
    other_public, _, other_local = found.lower().partition("+")
    if _normalised(public) != _normalised(other_public):
        return False
    return not local or _parts(local) == _parts(other_local)


def _normalised(public):
    """A public version in a form in which equal ones are equal: 1.0 and 1.0.0, 2.0-rc1 and 2.0rc1."""
    match = re.match(r"v?(?:(\d+)!)?(\d+(?:\.\d+)*)", public)
    if match is None:
        return public
    numbers = [int(number) for number in match.group(2).split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return int(match.group(1) or 0), numbers, _parts(public[match.end() :])


def _parts(text):
    """The numbers and words of a part of a version; it does not matter what is between them."""
    return [int(part) if part.isdigit() else part for part in re.findall(r"\d+|[a-z]+", text)]


def difference(wanted, environment):
    """What of the package `wanted` an environment lacks, or has differently; None when it is there.

    `wanted` is a package as the manifest has it, `environment` what
    `wheelferry.client.probe.installed.look_at_environment` returns.
    """
    found = environment["packages"].get(wanted["name"])
    if found is None:
        return "it has none"
    versions = [found]
    torch = (environment["torch"] or {}) if wanted["name"] == "torch" else {}
    if torch:
        # PyPI's wheels of torch tell their build there alone
        versions.append(torch.get("version") or found)
    cuda, own_cuda = wanted.get("cuda"), torch.get("cuda")
    there = {"name": wanted["name"], "version": versions[-1], "cuda": own_cuda}
    if not any(same_version(wanted["version"], version) for version in versions):
        return "it has %s" % shown(there)
    if cuda and own_cuda and cuda != own_cuda:
        return "it has %s" % shown(there)
    abi, own_abi = wanted.get("cxx11_abi"), torch.get("cxx11_abi")
    if None not in (abi, own_abi) and abi != own_abi:
        return "it has %s with %s, wanted is %s" % (shown(there), _abi(own_abi), _abi(abi))
    libraries = torch.get("libraries", {})
    other = [name for name, digest in wanted.get("libraries", {}).items() if libraries.get(name) != digest]
    if other:
        return "it has %s, but with other libraries: %s" % (
            shown(there),
            _libraries(other, wanted, libraries),
        )
    return None


def _abi(is_new):
    return "the C++ ABI of GCC 5 and later" if is_new else "the C++ ABI of before GCC 5"


def _libraries(names, wanted, libraries):
    """The first of the libraries that differ, with both hashes, and how many more there are."""
    first = sorted(names)[0]
    own = libraries.get(first)
    has = "is missing" if own is None else "has SHA-256 %s…" % own[:16]
    more = " (and %d more)" % (len(names) - 1) if len(names) > 1 else ""
    return "%s %s, wanted is %s…%s" % (first, has, wanted["libraries"][first][:16], more)


def lacking(target, environment):
    """(package as it is wanted, what is there instead) for all that an environment lacks of a target's."""
    pairs = [(wanted, difference(wanted, environment)) for wanted in target.present]
    return [(wanted, reason) for wanted, reason in pairs if reason is not None]


def environment_of(profile, program):
    """What the profile says of the packages of the Python `program`; None where it says nothing."""
    known = profile.get("environments") or ()
    return next((one for one in known if one["python"] == program), None)


def has_present(profile, python, target):
    """Whether a Python of the profile is known to have all that the target requires to be there."""
    environment = environment_of(profile, python["path"])
    return environment is not None and not lacking(target, environment)


def examine_present(profile, target, python):
    """Whether what the target does not carry is there for `python` (of the profile, or None)."""
    if not target.present or python is None:
        return
    names = ", ".join(shown(wanted) for wanted in target.present)
    environment = environment_of(profile, python["path"])
    if environment is None:
        text = "%s must be there already; whether it is, the profile does not say" % names
        yield Finding("present", NOTE, text, "write it with wheelferry probe --python %s" % python["path"])
        return
    missing = ["%s: %s" % (shown(wanted), reason) for wanted, reason in lacking(target, environment)]
    if "pip" not in environment["packages"] and not python.get("ensurepip", True):
        text = "%s has neither pip nor ensurepip, and the bundle brings no pip" % python["path"]
        yield Finding("pip", PROBLEM, text, "install pip there (on Debian and Ubuntu: python3-pip)")
    if missing:
        text = "what the bundle does not carry must be there already, for %s: %s"
        yield Finding("present", PROBLEM, text % (python["path"], "; ".join(missing)), _REMEDY)
    else:
        yield Finding("present", OK, "%s: there already" % names)
