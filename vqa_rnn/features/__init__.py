"""Region features of images: backbones, detectors, importers of published features, and the feature store."""
