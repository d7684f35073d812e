"""Starts the AWS emulator ministack on loopback with two things that it leaves out.

* Containers have an `imageDigest`: the one that the image pins, otherwise the SHA-256 of the
  image's text, so that the same image always has the same digest.
* *ECS Task State Change* events are put on the default bus when tasks start and stop.

    GATEWAY_PORT=4566 emulator.py [--check] [--until-stdin-closes]

`--check` only looks whether this ministack can be extended so. With `--until-stdin-closes` the
emulator ends with whoever holds the other end of its standard input, even one that was killed.
It is ready when `GET /_ministack/health` answers. Nothing outlives it: its files are in a
directory of its own, removed at the end, and the functions that it runs are ended with it.
"""

import argparse
import hashlib
import importlib.metadata
import json
import os
import re
import signal
import sys
import tempfile
import threading

# The functions below are ministack's own inner ones, which may change with any release.
VERSION = "1.5.33"
HOOKS = {
    "ecs": (
        "_ACTION_MAP",
        "_build_task_containers",
        "_get_docker",
        "_mark_task_stopped",
        "_run_task",
        "_sanitize",
        "_tasks",
    ),
    "eventbridge": ("_put_events",),
}

# A caller's own AWS profile, cluster names or API token must not reach a deployed function.
INHERITED = (
    "PATH",
    "HOME",
    "LANG",
    "GATEWAY_PORT",
    "LOG_LEVEL",
    "RUST_BACKTRACE",
    # Set by Lambda from a function's logging configuration, and by ministack never.
    "AWS_LAMBDA_LOG_FORMAT",
    "AWS_LAMBDA_LOG_LEVEL",
)

PINNED = re.compile(r"@(sha256:[0-9a-f]{64})$")


def digest(image):
    pinned = PINNED.search(image)
    return pinned[1] if pinned else "sha256:" + hashlib.sha256(image.encode()).hexdigest()


def prepare_environment(directory):
    """ministack reads its settings when it is imported, and its functions inherit them."""
    kept = {name: os.environ[name] for name in INHERITED if name in os.environ}
    os.environ.clear()
    os.environ.update(kept)
    port = os.environ.setdefault("GATEWAY_PORT", "4566")
    os.environ.update(
        BIND_HOST="127.0.0.1",
        # A second port, on every interface.
        IOT_MTLS_ENABLED="0",
        USE_SSL="0",
        PERSIST_STATE="0",
        S3_PERSIST="0",
        LOCALSTACK_PERSISTENCE="0",
        LAMBDA_EXECUTOR="local",
        TMPDIR=directory,
        STATE_DIR=os.path.join(directory, "state"),
        # With it, functions find the emulator instead of AWS.
        AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}",
    )
    tempfile.tempdir = directory


def modules():
    found = importlib.metadata.version("ministack")
    if found != VERSION:
        sys.exit(f"emulator.py extends ministack {VERSION} and found {found}")
    from ministack.services import ecs, eventbridge

    for module in (ecs, eventbridge):
        name = module.__name__.rpartition(".")[2]
        missing = [hook for hook in HOOKS[name] if not hasattr(module, hook)]
        if missing:
            sys.exit(f"emulator.py cannot extend ministack {found}: no {', '.join(missing)} in {name}")
    return ecs, eventbridge


def fill_in_digests(ecs):
    build = ecs._build_task_containers

    def with_digests(*arguments):
        containers = build(*arguments)
        for container in containers:
            if container["image"]:
                container["imageDigest"] = digest(container["image"])
        return containers

    ecs._build_task_containers = with_digests
    # With an engine at hand it would pull the images and take their digests.
    ecs._get_docker = lambda: None


def emit_task_state_changes(ecs, eventbridge):
    def emit(task, **states):
        detail = ecs._sanitize(task) | states
        entry = {
            "Source": "aws.ecs",
            "DetailType": "ECS Task State Change",
            "Resources": [task["taskArn"]],
            "Detail": json.dumps(detail),
        }
        eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)

    run, mark_stopped = ecs._run_task, ecs._mark_task_stopped

    def run_task(data):
        status, headers, body = response = run(data)
        if status == 200:
            for described in json.loads(body)["tasks"]:
                task = ecs._tasks[described["taskArn"]]
                emit(task, lastStatus="PENDING")
                emit(task, lastStatus="RUNNING")
        return response

    def mark_task_stopped(task_arn, task, *arguments, **options):
        stopped = mark_stopped(task_arn, task, *arguments, **options)
        if stopped:
            emit(task, lastStatus="RUNNING")
            emit(task)
        return stopped

    # Services start tasks through the module's name, clients through the map.
    ecs._run_task = ecs._ACTION_MAP["RunTask"] = run_task
    ecs._mark_task_stopped = mark_task_stopped


def end_with_standard_input():
    def wait():
        while os.read(0, 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--until-stdin-closes", action="store_true")
    options = parser.parse_args()
    # ministack reads the command line itself.
    del sys.argv[1:]

    with tempfile.TemporaryDirectory(prefix="envsnap-emulator-") as directory:
        prepare_environment(directory)
        ecs, eventbridge = modules()
        if options.check:
            return
        fill_in_digests(ecs)
        emit_task_state_changes(ecs, eventbridge)
        if options.until_stdin_closes:
            end_with_standard_input()
        from ministack.app import main as serve

        serve()


if __name__ == "__main__":
    main()
