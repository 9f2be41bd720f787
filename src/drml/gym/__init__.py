"""Our suites in Gymnasium's clothes: for libraries that train on Gymnasium environments."""
