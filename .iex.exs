import Exosuit.IEx
