"""Everything that needs an NVIDIA GPU, in one run of at most eight minutes.

usage: make gpu        or, with the packages installed:        python benchmarks/check_gpu.py -o gpu_report

Environment; agreement of NumPy, torch and CuPy, stage by stage; milliseconds of a slice of 256x256 with 16 coils; the tests
marked `gpu`; batches; how near all is to what operations and bytes allow; engines. Scans are simulated. Sections run in this
order, each in a process of its own with a time of its own: one that fails, hangs or is cut off is reported, and the others
run. What is not installed (CuPy, TensorRT) is left out by name.

Writes report.md and report.json into the folder, anew after each section, and prints the former. Exit code 0 when all bars
are reached; 1 when one is not, a test fails, or a section does not come to its end; 2 without a GPU or the packages.

--device cpu --tiny lets the CPU stand in for a GPU on a small problem, to see that everything runs; times have no bars then.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from gpu.driver import NoGpuError, find_driver
from gpu.sections import BY_NAME, SECTIONS

TOTAL_S = 470.0  # of eight minutes


def main() -> int:
    """Run; see the module's text for exit codes."""
    options = parsed()
    if options.device == "cuda" and not options.section:
        try:
            find_driver()
        except NoGpuError as error:
            print(f"{error}. Nothing was installed or measured.", file=sys.stderr)
            return 2
    if options.install:
        from gpu.installation import install_and_go_on

        return install_and_go_on(Path(__file__).resolve(), options.out, options.install, options.venv, options.limit_s)
    if options.section:
        from gpu.size import FULL, TINY
        from gpu.worker import work

        result = options.out / "logs" / f"{options.section}.json"
        return work(BY_NAME[options.section], result, options.device, TINY if options.tiny else FULL, options.limit_s)
    return run(options)


def run(options: argparse.Namespace) -> int:
    """All sections, and the report on the terminal."""
    from gpu.commit import commit
    from gpu.document import Document
    from gpu.run import command_of, in_own_process, run_sections
    from gpu.size import FULL, TINY
    from nilatron.core.errors import BadInputError
    from nilatron.pipelines.device import resolve_device

    try:
        resolve_device(options.device)
    except BadInputError:
        print(torch_without_gpu(), file=sys.stderr)
        return 2
    logs = options.out / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    installation = json.loads(options.installation.read_text()) if options.installation else ()
    facts = {
        "commit": commit(),
        "date": time.strftime("%Y-%m-%d %H:%M:%S %Z"),
        "device": options.device if options.device == "cuda" else "the CPU, standing in for a GPU",
        "problem": str(TINY if options.tiny else FULL),
    }
    document = Document(options.out, facts, installation, options.spent_s)
    command = command_of(Path(__file__).resolve(), options.out, options.device, options.tiny)
    chosen = [section for section in SECTIONS if section.name in (options.sections or BY_NAME)]
    try:
        run_sections(chosen, options.limit_s - options.spent_s, document, in_own_process(command, logs))
    finally:
        if document.sections:
            print(f"\n{document.markdown()}\n{options.out / 'report.md'}, {options.out / 'report.json'}, {logs}")
    return 0 if document.passed else 1


def torch_without_gpu() -> str:
    """Why torch finds no GPU though the driver does."""
    import torch

    built = f"torch {torch.__version__} is built " + (
        f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
    )
    return f"the driver knows CUDA up to {find_driver().cuda}, but torch finds no GPU: {built}; install another build of it"


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, default=Path("gpu_report"), metavar="DIR", help="for the report")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: a stand-in")
    parser.add_argument("--tiny", action="store_true", help="a small problem, without bars for times")
    parser.add_argument("--sections", nargs="+", choices=BY_NAME, metavar="NAME", help=", ".join(BY_NAME))
    parser.add_argument("--limit-s", type=float, default=TOTAL_S, help="of all together, installation included")
    parser.add_argument(
        "--install", metavar="MAKE", help="first install by the rules of the Makefile, with this program"
    )
    parser.add_argument("--venv", type=Path, default=Path(".venv"), help="where to install")
    parser.add_argument("--section", choices=BY_NAME, help=argparse.SUPPRESS)
    parser.add_argument("--installation", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--spent-s", type=float, default=0.0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.out = options.out.resolve()
    return options


if __name__ == "__main__":
    sys.exit(main())
