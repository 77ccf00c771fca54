"""A run on the Hugging Face Hub: the agent as a model with its card, its turns as a dataset."""

import logging
import tempfile
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, ModelCard

from gtr.checkpoint import latest
from gtr.errors import RunError
from gtr.export.card import OWN_LICENCE, card
from gtr.export.forms import export
from gtr.policy.folder import check_files
from gtr.policy.models import BUILT_IN_MODELS
from gtr.report.found import is_run
from gtr.report.run import Run

TURNS_CARD = """---
license: {licence}
tags: [gtr, vision-language-agent]
configs:
- config_name: default
  data_files: turns.parquet
---

# Turns of {repo}

Every turn of the run that trained [`{repo}`](https://huggingface.co/{repo}): the picture, the prompt, the reply with
its thought, the corrector's verdict, reward and advantage. `thought`, `checks` and `truth` are JSON texts.
"""
CARD = "README.md"
log = logging.getLogger(__name__)


def push(folder: Path, repo: str, private: bool = False, turns: bool = True) -> str:
    """Uploads a run's last checkpoint as the model `repo` with a card, and its turns as the dataset ``<repo>-turns``.

    Returns the model's address. The hub, the token and the cache are those of `huggingface_hub`: HF_ENDPOINT, HF_TOKEN.

    Raises:
        RunError: there is no run, no checkpoint, or the hub refused.
        PolicyError: the checkpoint's model holds links, or what is no file of a model.
        ConfigError: turns are asked for, and pyarrow is not installed.
    """
    found = latest(folder / "checkpoints") if is_run(folder) else None
    if found is None:
        raise RunError(f"{folder} is no run folder with a finished checkpoint: give one that gtr train made")
    run, model = Run(folder), found / "model"
    check_files(model)
    if problem := run.problems:
        raise RunError(f"{folder} cannot be described: {problem[0]}")
    licence = licence_of(run.text("policy.model"))
    dataset = f"{repo}-turns" if turns and run.updates_with_turns() else None
    text = card(run, repo, (model / "adapter_config.json").exists(), licence, dataset)
    with tempfile.TemporaryDirectory() as place:
        if dataset:
            export(folder, "parquet", Path(place) / "turns.parquet")
            (Path(place) / "README.md").write_text(TURNS_CARD.format(licence=licence or "other", repo=repo))
            _upload(Path(place), dataset, "dataset", private)
        return _upload(model, repo, "model", private, text)


def licence_of(base: str) -> str | None:
    """The licence of the model that training began from, as its card says; None where there is none to be read."""
    if base in BUILT_IN_MODELS:
        return OWN_LICENCE
    try:
        readme = Path(base) / "README.md"
        found = ModelCard.load(readme if Path(base).is_dir() else base, ignore_metadata_errors=True).data.license
    except Exception as error:
        log.warning("the licence of %s cannot be read (%s): the card says so", base, error)
        return None
    return str(found) if found else None


def _upload(folder: Path, repo: str, kind: str, private: bool, text: str | None = None) -> str:
    """A folder as one commit, with a card where one is given; returns the repository's address."""
    api = HfApi(library_name="gtr")
    operations = [
        CommitOperationAdd(path.name, path) for path in sorted(folder.iterdir()) if path.is_file() and path.name != CARD
    ]
    written = text.encode() if text is not None else (folder / CARD).read_bytes()
    try:
        address = api.create_repo(repo, private=private, repo_type=kind, exist_ok=True)
        message = "Upload of a run by gtr"
        api.create_commit(
            repo, [CommitOperationAdd(CARD, written), *operations], commit_message=message, repo_type=kind
        )
    except Exception as error:
        raise RunError(
            f"{repo} cannot be written to {api.endpoint} ({type(error).__name__}: {error}): give an id such as "
            "you/name, and a token that may write there in HF_TOKEN, or by `hf auth login`"
        ) from error
    return str(address)
