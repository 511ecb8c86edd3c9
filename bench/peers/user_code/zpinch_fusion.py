import zpinch

images = zpinch.open_images("mnist.npy")
model = zpinch.train(images, minutes=5, out="model")
zpinch.compress("mnist.npy", model, "mnist.zpn")
zpinch.decompress("mnist.zpn", "rebuilt.npz", model=model)
zpinch.generate(model, 10_000, out="samples.npz")
