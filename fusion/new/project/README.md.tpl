# $name

Pictures, sounds and words of three shapes, bound in one space. Put your own in their place.

```console
$$ fusion data recipe.yaml --html data.html    # what is in the rows
$$ fusion train recipe.yaml                    # seconds; then open the report that it names
```

- `data/train.csv` and `data/test.csv` have a row for each sample: paths relative to the table, and an empty cell where a
  modality is missing. No row of the training has a picture and a sound.
- `recipe.yaml` says what is trained on them. `fusion plugins ls` lists what it can pick, `fusion plugins show NAME` the
  options.
- `$package/fuser.py` is a part of your own. Recipes find it once it is installed:

```console
$$ pip install -e '.[test]'
$$ pytest                                      # the fuser keeps its contract, the recipe trains
$$ fusion train recipe.yaml fuser.name=$kebab-max
```
