"""Coverage-guided fuzzing of one parser: run.py TARGET EXECUTIONS FOLDER. scripts/fuzz starts it."""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["os_image_composer", "tarfile"]):
    from support.fuzz_targets import Workplace, harmless, targets

name, executions, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
work = Workplace()
target = targets(work)[name]
corpus = folder / name
corpus.mkdir(parents=True, exist_ok=True)
for number, seed in enumerate(target.seeds):
    (corpus / f"seed{number}").write_bytes(seed)
words = [
    f"-runs={executions}",
    f"-max_len={target.longest}",
    "-timeout=10",  # seconds for one execution: a hang
    "-rss_limit_mb=2048",
    f"-artifact_prefix={folder}/{name}-",
    "-print_final_stats=1",
    "-verbosity=1",
]
atheris.Setup([sys.argv[0], *words, str(corpus)], lambda data: harmless(target, data))
atheris.Fuzz()
