"""From people to training samples: crops, augmentation, clips."""
