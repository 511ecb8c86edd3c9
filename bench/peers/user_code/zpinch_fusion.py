import zpinch

images = zpinch.open_images("mnist", split="train")
model = zpinch.train(images, minutes=5, out="model")
zpinch.compress("mnist", model, "mnist.zpn")
zpinch.decompress("mnist.zpn", "rebuilt.npz", model=model)
zpinch.generate(model, "samples.npz", count=10_000)
