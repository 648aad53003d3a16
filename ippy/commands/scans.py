"""``python -m ippy import-dicom``: scans as slices."""

from __future__ import annotations

import argparse
from pathlib import Path

from ippy.commands.parsing import Subparsers
from ippy.tools.dicom import SEED, SPLITS, TEST_FRACTION, WINDOW, import_dicom, summary


def add(commands: Subparsers) -> None:
    """Add the command's parser; its handler is below."""
    command = commands.add_parser(
        "import-dicom",
        help="turn a folder of DICOM CT series into slices",
        description="Write the CT slices below SOURCE as TARGET/{train,test}/<patient>/<n>.png, "
        "16-bit greyscale at their own size, numbered from head to feet. Of each patient one axial "
        "series is taken, the one with the most slices, and every patient is on one side of the "
        "split only. Patients are called P001, P002, …; no name, identifier or path of the source "
        "is written. TARGET/import.json says how the slices were made. An interrupted import goes "
        "on where it stopped.",
        epilog="Example: python -m ippy import-dicom scans Mayo",
    )
    command.add_argument("source", type=Path, metavar="SOURCE", help="folder of DICOM files")
    command.add_argument("target", type=Path, metavar="TARGET", help="data folder, as Mayo")
    command.add_argument(
        "--window",
        type=float,
        nargs=2,
        default=WINDOW,
        metavar=("CENTRE", "WIDTH"),
        help="Hounsfield units (HU) from black to white (default: {:g} {:g}, which is -1000 HU to "
        "1600 HU: soft tissue is about 0.4, as in the published slices)".format(*WINDOW),
    )
    command.add_argument(
        "--test-fraction",
        type=float,
        default=TEST_FRACTION,
        metavar="PART",
        help=f"part of the patients that goes to test/ (default: {TEST_FRACTION})",
    )
    command.add_argument(
        "--seed", type=int, default=SEED, help=f"seed of the split (default: {SEED})"
    )
    command.add_argument(
        "--series",
        default="",
        metavar="TEXT",
        help="only series whose description contains TEXT, such as 'full dose'",
    )
    command.add_argument(
        "--split-by",
        choices=SPLITS,
        default=SPLITS[0],
        help="what tells patients apart (default: patient, by ID; images that share a study or a "
        "series are of one, too). study: where an anonymiser gave all one ID; folder: each folder "
        "in SOURCE is a patient",
    )
    command.add_argument(
        "--report",
        type=Path,
        default=None,
        metavar="FILE",
        help="list what became of each source file, as CSV; it holds the paths, so keep it private",
    )
    command.set_defaults(
        run=_import, after_stop=lambda args: "; the same command goes on from there"
    )


def _import(args: argparse.Namespace) -> None:
    manifest = import_dicom(
        args.source,
        args.target,
        window=tuple(args.window),
        test_fraction=args.test_fraction,
        seed=args.seed,
        series=args.series,
        split_by=args.split_by,
        report=args.report,
    )
    print(summary(manifest, args.target))
