"""Run `python -m pyro_rationale.serve`; the command itself is :mod:`pyro_rationale.cli.serve`."""

if __name__ == "__main__":
    from pyro_rationale.__main__ import run

    run("serve")
