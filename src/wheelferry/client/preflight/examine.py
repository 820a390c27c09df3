"""Preflight: whether a bundle's target would work on a machine, decided from the machine's profile.

A profile is what `wheelferry.client.probe.profile.collect` returns. Every finding says what was found and
what is needed; one that is a problem also says what to do.
"""

from dataclasses import replace

from wheelferry.client.preflight.findings import NOTE, PROBLEM, WARNING, Finding, Needs, problems
from wheelferry.client.preflight.folders import examine_folders, examine_space, folder_of
from wheelferry.client.preflight.gpu import examine_gpu
from wheelferry.client.preflight.paths import examine_paths
from wheelferry.client.preflight.present import examine_present
from wheelferry.client.preflight.pythons import choose_python, examine_python
from wheelferry.client.preflight.systems import (
    examine_platform,
    examine_processor,
    examine_vc_runtime,
    numbers,
)
from wheelferry.client.preflight.variables import examine_variables

PROFILE_FORMAT = 1
# A file takes whole blocks of 4 KiB: half of one is lost on average.
_LOST_PER_FILE = 2048
# Byte code, which comes with the first imports, the environment's own files, logs.
_GROWTH = 1.15
# Folders, byte code and uv's cache take inodes too; measured with torch: a fifth more after the smoke checks.
_MORE_FILES = 1.4
# What the wheels of a bundle without a footprint come to when they are unpacked; measured: 1.8 for torch.
_UNPACKED = 2


def needs(bundle, target, request, profile=None):
    """What installing `target` takes, from the bundle's figures.

    uv unpacks into a cache beside the environment and links from there: where the prefix has no hard links
    it has to copy, which takes the packages' space twice. `bundle` may be None when only the target is known.
    """
    files = bundle.files if bundle else {}
    sizes = [files[wheel][0] for wheel in target.wheels if wheel in files]
    packages = target.footprint.get("bytes", _UNPACKED * sum(sizes))
    number = target.footprint.get("files", 0)
    folder = folder_of(profile, request.prefix) if profile else None
    copies = 2 if request.installer == "uv" and folder and folder["hard_links"] is False else 1
    runtime = target.runtime["footprint"] if target.runtime and request.use_runtime else {}
    assets = [(files[item["path"]][0], item.get("unpack")) for item in (bundle.assets if bundle else ())]
    # an archive is unpacked where it lies; photographs, which most of them hold, do not shrink when packed
    carried = sum(_UNPACKED * size if unpack else size for size, unpack in assets)
    on_prefix = number * copies + runtime.get("files", 0) + len(assets)
    total = packages * copies + runtime.get("bytes", 0)
    return Needs(
        prefix_bytes=int(total * _GROWTH) + on_prefix * _LOST_PER_FILE + carried,
        prefix_files=int(on_prefix * _MORE_FILES),
        temp_bytes=runtime.get("bytes", 0) + runtime.get("files", 0) * _LOST_PER_FILE,
        temp_files=runtime.get("files", 0),
        largest_file=max([*sizes, *(size for size, _ in assets)], default=0),
        longest_path=max(target.footprint.get("longest_path", 0), runtime.get("longest_path", 0)),
    )


def examine(profile, target, request):
    """Everything that is known about installing `target` on the machine of `profile`, as findings.

    Of a target for another platform only that is said.
    """
    platform = list(examine_platform(profile, target))
    if any(finding.level == PROBLEM for finding in platform):
        return platform
    return [
        *platform,
        *examine_python(profile, target, request),
        *examine_present(profile, target, choose_python(profile, target, request)),
        *examine_processor(profile, target),
        *examine_gpu(profile, target, request),
        *examine_vc_runtime(profile, target),
        *examine_folders(profile, request),
        *examine_space(profile, request),
        *examine_paths(profile, request),
        *examine_variables(profile),
    ]


def choose(profile, bundle, request, wanted=None):
    """(the target to install or None, the findings of every target by its name).

    With `wanted` only the target of that name is looked at. Otherwise it is the best of those without
    problems: on a machine with an NVIDIA GPU the highest CUDA that works there, then the newest Python, the
    newest torch.
    """
    targets = [bundle.target(wanted)] if wanted else list(bundle.targets)
    findings = {}
    for target in targets:
        needed = request.needs or needs(bundle, target, request, profile)
        findings[target.name] = examine(profile, target, replace(request, needs=needed))
    possible = [target for target in targets if not problems(findings[target.name])]
    if not possible:
        return None, findings
    with_gpu = profile["nvidia"] is not None and not request.without_gpu
    chosen = max(possible, key=lambda target: _rank(target, with_gpu))
    if with_gpu:
        findings[chosen.name] += _passed_over(chosen, targets, findings)
    return chosen, findings


def _rank(target, with_gpu):
    """Sorts targets that all work: with a GPU by CUDA first, without one CUDA last."""
    cuda = target.cuda or (0, 0)
    # with a GPU the index's own torch may use it at least for torch's operations
    plain = (target.backend == "default") == with_gpu
    return (cuda if with_gpu else not target.cuda, numbers(target.python), numbers(target.torch), plain, cuda)


def _passed_over(chosen, targets, findings):
    """A warning when a GPU stays unused, a note when a lower CUDA is used, with the reason."""
    higher = [target for target in targets if (target.cuda or (0, 0)) > (chosen.cuda or (0, 0))]
    for target in sorted(higher, key=lambda target: target.cuda, reverse=True):
        reasons = [finding for finding in problems(findings[target.name]) if finding.code.startswith("gpu")]
        if reasons:
            level = NOTE if chosen.cuda else WARNING
            text = "%s is not used: %s" % (target.name, reasons[0].message)
            if not chosen.cuda:
                text = "the GPU stays unused; %s" % text
            return [Finding("gpu-passed-over", level, text, reasons[0].remedy)]
    return []
