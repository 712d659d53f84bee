"""`lmdeploy doctor`: what works here, and what to install."""

from __future__ import annotations

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")
def doctor(as_json: bool) -> None:
    """Print versions and loaded libraries, try a tiny graph on every engine, and say what to install.

    Exit code 0 when networks run on the processor and no two packages stand in each other's way (two OpenCVs,
    onnxruntime beside onnxruntime-gpu), else 4. An engine that is not installed, or has no GPU, is no error.
    """
    from lmdeploy.doctor import check_report, examine
    from lmdeploy.doctor_table import print_report, trying

    with trying():
        report = examine()
    print_report(report)
    if as_json:
        click.echo(report.to_json(), nl=False)
    check_report(report)
