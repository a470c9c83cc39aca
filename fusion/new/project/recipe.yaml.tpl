# fusion train recipe.yaml
#
# Binds pictures, sounds and words of three shapes. No row of the training has a picture and a sound.
name: $name
sources:
  train: {name: datasets, data: data/train.csv}
encoders:
  image: {name: scratch-image, size: 32}
  text:  {name: scratch-text}
  audio: {name: scratch-audio, rate: 16000, seconds: 0.5}
augment:
  image: [{name: image-move}]
  audio: [{name: audio-noise}]
width: 64
fuser: {name: mean}
objectives:
  align: {name: contrastive, hub: text}
  shape: {name: classify, classes: 3}
classes: [circle, cross, bar]
train: {steps: 100, batch: 24}
evaluate:
  sources:
    test: {name: datasets, data: data/test.csv}
