"""What `import gamix_keras` does to the imports of Keras and TensorFlow that come after it."""
