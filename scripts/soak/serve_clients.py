"""Ask the page of ``vqa-rnn serve`` from many clients at once, and check the answers and the memory of the server.

    python scripts/soak/serve_clients.py RUN [--clients 20] [--requests 500] [--warm-up 500] [--seed 0]

Uploads random images of different sizes and asks training questions of the run about them. Every probability must equal that of
a local session to 1e-4. Prints the server's memory after the warm-up and at the end. The exit code is 1 if an answer differs, a
request fails, the server fails, or memory grows by more than 5%.
"""

import vqa_rnn  # imported before torch, as it sets how threads wait

# isort: split

import argparse
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import httpx
from gradio_client import Client, handle_file
from PIL import Image

NUM_IMAGES = 40
LARGEST_GROWTH = 0.05


class Request(NamedTuple):
    """A question about an image, and the expected probabilities."""

    image: Path
    question: str
    expected: dict[str, float]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="as vqa-rnn serve takes it")
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--warm-up", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        requests = make_requests(arguments.run, Path(temporary), random.Random(arguments.seed))
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        server = subprocess.Popen([sys.executable, "-m", "vqa_rnn", "serve", arguments.run, "--port", str(port)])
        try:
            url = f"http://127.0.0.1:{port}/"
            wait_for(url, server)
            clients = [Client(url, verbose=False, httpx_kwargs={"timeout": 120}) for _ in range(arguments.clients)]
            wrong = ask_all(clients, requests, arguments.warm_up)
            before = memory(server)
            wrong += ask_all(clients, requests, arguments.requests)
            after = memory(server)
        finally:
            server.terminate()
            code = server.wait()
    growth = after / before - 1
    print(
        f"{arguments.requests} requests of {arguments.clients} clients after {arguments.warm_up} to warm up: {len(wrong)} wrong"
    )
    for line in wrong[:10]:
        print(f"  {line}")
    print(f"memory of the server: {before / 1e6:.1f} MB after the warm-up, {after / 1e6:.1f} MB at the end ({growth:+.1%})")
    print(f"the server left with {code}")
    return int(bool(wrong) or growth > LARGEST_GROWTH or code != 0)


def make_requests(run: str, folder: Path, chance: random.Random) -> list[Request]:
    """Write noise images, and ask a session of our own about them."""
    session = vqa_rnn.load(run)
    questions = session.about.examples or ("What colour is it?", "What is in the image?")
    requests = []
    for number in range(NUM_IMAGES):
        path = folder / f"{number}.jpg"
        size = chance.randrange(200, 1600), chance.randrange(200, 1200)
        coarse = [Image.effect_noise((chance.randrange(2, 9), chance.randrange(2, 9)), 120) for _ in "RGB"]
        Image.merge("RGB", [each.resize(size, Image.Resampling.BICUBIC) for each in coarse]).save(path, quality=90)
        session.see(path)
        requests += [Request(path, question, dict(session.another().ask(path, question).answers)) for question in questions]
    return requests


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    while True:
        if server.poll() is not None:
            sys.exit(f"the server left with {server.returncode}")
        try:
            if httpx.get(url).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.2)


def ask_all(clients: Sequence[Client], requests: Sequence[Request], count: int) -> list[str]:
    """Ask from all clients at the same time, and return what went wrong."""
    wrong: list[str] = []

    def ask(client: Client, numbers: range) -> None:
        for number in numbers:
            request = requests[number % len(requests)]
            try:
                answer = client.predict(handle_file(request.image), request.question, api_name="/ask")
            except Exception as error:
                wrong.append(f"{request.image.name}, {request.question}: {type(error).__name__}: {error}")
                continue
            found = {each["answer"]: each["probability"] for each in answer["answers"]}
            differing = {text for text, p in request.expected.items() if abs(found.get(text, 0) - p) > 1e-4}
            if differing:
                wrong.append(f"{request.image.name}, {request.question}: {found}, not {request.expected}")

    threads = [
        threading.Thread(target=ask, args=(client, range(start, count, len(clients)))) for start, client in enumerate(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return wrong


def memory(process: subprocess.Popen[bytes]) -> int:
    """Return the resident memory of a process in bytes."""
    found = subprocess.run(["ps", "-o", "rss=", "-p", str(process.pid)], capture_output=True, text=True, check=True)
    return 1024 * int(found.stdout)


if __name__ == "__main__":
    sys.exit(main())
