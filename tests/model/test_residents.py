"""Adapters beside the base in one engine: each request gets its own weights, and a switch drops none."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from diffill.model import decoder_loading, followed_adapter, residents
from diffill.model.adapter import load_adapter
from diffill.model.adapter_store import BASE, AdapterStore
from diffill.model.client import EngineClient, EngineError, EngineSettings
from diffill.model.config import ModelConfig
from diffill.model.decoder_loading import load_decoder
from diffill.model.engine import BlockDecoder
from diffill.model.followed_adapter import FollowedAdapter
from diffill.model.network import Network
from diffill.model.request import DecodeRequest, Mode, pack_ids
from diffill.model.tokenizer import MIDDLE, NUM_CONTROL_IDS, PREFIX, SUFFIX
from diffill.model.torch_network import TorchNetwork
from tests.adapters import tiny_factors, write_adapter
from tests.engine_process import HANG_GUARD_SECONDS, private_directory
from tests.tiny import VOCABULARY_SIZE, tiny_checkpoint


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("weights") / "base")


@pytest.fixture(scope="module")
def adapters(base: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    config, directory = ModelConfig.load(base), tmp_path_factory.mktemp("adapters")
    return [write_adapter(directory / f"a{seed}", base, tiny_factors(config, seed=seed)) for seed in (1, 2)]


def request(seed: int, adapter: Path | None = None, *, mode: Mode = "ar", length: int = 60) -> DecodeRequest:
    generator = random.Random(seed)
    ids = [generator.randrange(NUM_CONTROL_IDS, VOCABULARY_SIZE) for _ in range(length)]
    prompt = pack_ids([SUFFIX, *ids[:8], PREFIX, *ids[8:], MIDDLE])
    return DecodeRequest(prompt=prompt, mode=mode, max_tokens=12, adapter=str(adapter or ""))


def asked_of_merged(base: Path, adapter: Path | None, seeds: range) -> list[bytes]:
    decoder = load_decoder(checkpoint=base, device="cpu", adapter=adapter)
    return [decoder.decode(request(seed)).tokens for seed in seeds]


def together(decoder: BlockDecoder, requests: list[DecodeRequest]) -> list[bytes]:
    """All in the same turns, as the scheduler has them."""
    decodings = [decoder.begin(one) for one in requests]
    while going := [decoding for decoding in decodings if not decoding.over]:
        decoder.advance(going)
    return [decoding.result.tokens if decoding.result else b"" for decoding in decodings]


@pytest.mark.parametrize("mode", ["ar", "verify"])
def test_side_by_side_each_decodes_as_if_merged(base: Path, adapters: list[Path], mode: Mode) -> None:
    """The same prompts for all: no key or value of one may reach another."""
    seeds = range(3)
    variants = [None, *adapters]
    wanted = [answer for adapter in variants for answer in asked_of_merged(base, adapter, seeds)]
    assert len(set(wanted)) == len(wanted), "each has answers of its own"
    decoder = load_decoder(checkpoint=base, device="cpu")
    requests = [request(seed, adapter, mode=mode) for adapter in variants for seed in seeds]
    assert together(decoder, requests) == wanted
    again = [decoder.decode(one) for one in requests]
    assert [result.tokens for result in again] == wanted
    assert all(result.cached_tokens > 32 for result in again), "and each finds its own keys and values again"
    identities = [load_adapter(path, base=base).identity for path in adapters]
    assert [result.adapter for result in again[:: len(seeds)]] == [None, *identities]


def test_in_plain_torch_it_is_the_same(tmp_path: Path) -> None:
    base = tiny_checkpoint(tmp_path / "base", dtype=torch.float32)
    adapter = write_adapter(tmp_path / "adapter", base)
    decoder = load_decoder(checkpoint=base, device="cpu")
    assert isinstance(decoder.network, TorchNetwork)
    answers = together(decoder, [request(0, adapter), request(0), request(1, adapter)])
    merged = asked_of_merged(base, adapter, range(2))
    assert answers == [merged[0], asked_of_merged(base, None, range(1))[0], merged[1]]
    assert merged[0] != answers[1]
    tuned = decoder._variants[load_adapter(adapter, base=base).manifest.factors.sha256]
    assert isinstance(tuned, TorchNetwork)
    assert tuned.model.embedding is decoder.network.model.embedding, "the largest matrix is there once"


def test_the_longest_unused_goes_and_comes_back(
    base: Path, adapters: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(residents, "MAX_RESIDENT", 1)
    decoder = load_decoder(checkpoint=base, device="cpu")
    one, other = (decoder.decode(request(0, path)).tokens for path in adapters)
    assert len(decoder._variants) <= 3
    using = decoder.begin(request(0, adapters[0]))
    while using.waits:
        decoder.advance([using])
    assert decoder.decode(request(0, adapters[1])).tokens == other, "it takes the other's place"
    while not using.over:
        decoder.advance([using])
    assert using.result is not None and using.result.tokens == one, "who uses it keeps it"


def test_what_cannot_be_used_is_said_to_its_own_request(
    base: Path, adapters: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = load_decoder(checkpoint=base, device="cpu")
    elsewhere = write_adapter(tmp_path / "elsewhere", tiny_checkpoint(tmp_path / "other", seed=1))
    for adapter, problem in ((tmp_path / "nowhere", "cannot read"), (elsewhere, "was made for tiny")):
        with pytest.raises(ValueError, match=problem):
            decoder.decode(request(0, adapter))
    assert decoder.decode(request(0)).tokens == asked_of_merged(base, None, range(1))[0]

    def too_large(*arguments: object) -> Network:
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(decoder_loading, "adapted_network", too_large)
    narrow = load_decoder(checkpoint=base, device="cpu")
    with pytest.raises(ValueError, match="cannot be prepared: OutOfMemoryError"):
        narrow.decode(request(0, adapters[0]))
    assert narrow.decode(request(0)).tokens == decoder.decode(request(0)).tokens, "it goes on without"
    with pytest.raises(ValueError, match="takes none beside the one in its weights"):
        load_decoder(checkpoint=base, device="cpu", adapter=adapters[0]).decode(request(0, adapters[1]))
    assert request(0, Path("relative")).problem(VOCABULARY_SIZE) == "adapter: it is no absolute path"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AdapterStore:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return AdapterStore()


@pytest.fixture
def settings(base: Path, tmp_path: Path) -> Iterator[EngineSettings]:
    (tmp_path / "workspace").mkdir()
    with private_directory() as directory:
        yield EngineSettings(
            checkpoint=base, device="cpu", directory=directory / "run", place=tmp_path / "workspace", idle_seconds=30.0
        )


def test_what_cannot_be_prepared_leaves_what_worked(
    adapters: list[Path], store: AdapterStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followed_adapter, "LOOK_SECONDS", 0.0)
    first, second = (store.install(path) for path in adapters)
    prepared: list[Path] = []

    async def prepare(adapter: Path) -> None:
        prepared.append(adapter)
        raise EngineError("bad_request", "adapter: it is broken")

    async def test() -> None:
        followed = FollowedAdapter(first.path, tmp_path, prepare)
        store.use(second.key, tmp_path)
        for _ in range(3):
            followed.look()
            await asyncio.sleep(0.01)
        assert (followed.current, prepared) == (first.path, [second.path]), "and it is not tried at every look"
        store.use("gone-1", tmp_path)
        followed.look()
        assert followed.current == first.path
        store.use(BASE, tmp_path)
        followed.look()
        await asyncio.sleep(0.01)
        assert followed.current is None
        await followed.close()

    asyncio.run(test())


def test_another_choice_takes_effect_in_the_running_engine_and_drops_no_request(
    base: Path,
    adapters: list[Path],
    store: AdapterStore,
    settings: EngineSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two clients of one process ask without a pause, one of them in the workspace that switches."""
    monkeypatch.setattr(followed_adapter, "LOOK_SECONDS", 0.02)
    keys = [store.install(path).key for path in adapters]
    seeds = range(4)
    wanted = {
        key: asked_of_merged(base, path, seeds) for key, path in zip([BASE, *keys], [None, *adapters], strict=True)
    }

    async def ask_on(client: EngineClient, answers: list[tuple[int, bytes]], stop: asyncio.Event) -> None:
        while not stop.is_set():
            for seed, result in zip(
                seeds, await asyncio.gather(*(client.decode(request(seed)) for seed in seeds)), strict=True
            ):
                answers.append((seed, result.tokens))

    async def test() -> None:
        followed, other = EngineClient(settings), EngineClient(replace(settings, place=None))
        try:
            pid = (await followed.wait_ready()).pid
            switched: list[tuple[int, bytes]] = []
            steady: list[tuple[int, bytes]] = []
            stop = asyncio.Event()
            asking = [
                asyncio.create_task(ask_on(followed, switched, stop)),
                asyncio.create_task(ask_on(other, steady, stop)),
            ]
            for key in (*keys, BASE, keys[0]):
                store.use(key, settings.place)
                began = len(switched)
                while not any(tokens == wanted[key][seed] for seed, tokens in switched[began:]):
                    await asyncio.sleep(0.01)
                    assert not any(task.done() for task in asking)
            stop.set()
            await asyncio.gather(*asking)
            assert all(tokens == wanted[BASE][seed] for seed, tokens in steady) and steady, "the other has its own"
            known = [{tokens for answers in wanted.values() for tokens in answers[seed:][:1]} for seed in seeds]
            assert all(tokens in known[seed] for seed, tokens in switched), "every answer is one adapter's, whole"
            status = await other.wait_ready()
            assert status.pid == pid, "one process all along"
            named = EngineClient(replace(settings, place=None, adapter=adapters[1]))
            model = (await named.wait_ready()).model
            assert model is not None and model.adapter is not None and model.adapter.startswith("team ")
            await named.close()
            with pytest.raises(EngineError, match="bad_request: adapter: cannot read"):
                await other.decode(request(0, Path("/nowhere")))
        finally:
            await other.stop()
            await followed.close()
            await other.close()

    asyncio.run(asyncio.wait_for(test(), HANG_GUARD_SECONDS))
