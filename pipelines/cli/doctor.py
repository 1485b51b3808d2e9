"""`nilatron doctor`."""

from __future__ import annotations

from nilatron.pipelines.cli.app import RECONSTRUCTION_FAILED, SETTING_UP, app, fail, say


@app.command(rich_help_panel=SETTING_UP)
def doctor() -> None:
    """Check interpreter, packages and extras, GPU, memory, threads, cache, ports, weights and chains; replay a small scan."""
    from nilatron.pipelines.doctor import examine

    sound = True
    for finding in examine():
        sound = sound and finding.ok
        say(f"{'ok  ' if finding.ok else 'FAIL'} {finding.subject}: {finding.result}")
    if not sound:
        fail("something is wrong with this installation: see the lines marked FAIL", RECONSTRUCTION_FAILED)
