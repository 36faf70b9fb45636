"""What Media does, one transaction per step; remote calls and object stores stay outside of them."""
