"""What one of several processes finds: started by torchrun in test_ranks.py, with a model file and photos."""

import json
import sys

from topfive.data import open_data
from topfive.evaluation import judge, score
from topfive.evaluation.ranks import ranks_here
from topfive.models import load

if __name__ == "__main__":
    model, images = load(sys.argv[1]), open_data(sys.argv[2])
    for batch_size in (1, 7, 64):
        for workers in (0, 4):
            found = score(model, images, batch_size=batch_size, workers=workers)
            figures = judge(found).document
            told = {
                **{key: figures[key] for key in ("evaluated", "of", "top1_error", "top5_error", "broken", "confusion")},
                "ids": found.ids,
                "scores": [round(score, 3) if score == score else None for score in found.scores.flatten().tolist()],
            }
            print(json.dumps({"rank": ranks_here().rank, "told": told}) + "\n", end="", flush=True)
