"""The domain modules. Nothing is imported here, so that enabling one loads one."""
