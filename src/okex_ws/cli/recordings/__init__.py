"""What the commands about recordings share: playing, telling and drawing one."""
