defmodule Plugins.World do
  @moduledoc "The world of the plugins: `transform/2` calls the plugin that the option `:actor` names."
  use Exosuit.Component, wit: "wit", world: "plugin", host: Plugins.Host
end
