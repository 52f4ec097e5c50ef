"""Runs `docker-compose config` of version 1.29 for many cases in one process, since each start takes a second.

In (stdin): [{"folder", "files": [..], "environment": {..}}]. Out: [{"config": ..} or {"error": ..}], as JSON.
"""
import contextlib
import io
import json
import logging
import os
import sys

import yaml
from compose.cli.main import main


def config(case):
    os.chdir(case["folder"])
    os.environ.clear()
    os.environ.update(case["environment"])
    sys.argv = ["docker-compose"]
    for file in case["files"]:
        sys.argv += ["-f", file]
    sys.argv.append("config")
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as exit:
            code = exit.code or 0
    for name in [None, "compose", "requests"]:
        logger = logging.getLogger(name)
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
    if code:
        return {"error": err.getvalue() or "exit %s" % code}
    return {"config": yaml.safe_load(out.getvalue())}


cases = json.load(sys.stdin)
answers = [config(case) for case in cases]
json.dump(answers, sys.stdout, default=str)
