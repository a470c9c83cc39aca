# fusion train recipe.yaml
#
# Binds $name to words.
name: $kebab
sources:
  train: {name: $kebab-rows}
encoders:
  $name: {name: $kebab-net}
  text: {name: scratch-text}
width: 64
objectives:
  align: {name: contrastive}
classes: [slow, even, fast]
train: {steps: 60, batch: 24}
evaluate:
  sources:
    test: {name: $kebab-rows, split: test}
  zero_shot: {modality: text, templates: ["{}"]}
