"""The smallest run that has every part: 16 x 16 drawn faces, a critic, three steps an epoch."""

TINY = {
    "data.image_size": 16,
    "data.count": 24,
    "model.stages": 2,
    "model.width": 4,
    "model.latent_dim": 3,
    "model.critic": True,
    "model.critic_width": 4,
    "loss.perceptual_weight": 0.0,
    "loss.adversarial_start": 0.0,
    "training.batch_size": 8,
    "training.epochs": 1,
}

ASSIGNMENTS = [f"{key}={value}" for key, value in TINY.items()]
