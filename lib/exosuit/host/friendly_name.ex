defmodule Exosuit.Host.FriendlyName do
  @moduledoc """
  The name of a host for people: an adjective, a noun and a number, such as `quiet-otter-4711`.

  There are about 58 million names. They need not be unique, because hosts are told apart by their public keys.
  """

  @adjectives ~w(
    amber ancient autumn bitter bold brave bright calm clear cold cool crimson dark dawn deep
    dry early eager fair fast fine fresh gentle glad golden green happy hidden holy icy keen kind
    late light little lively long lucky mellow misty nimble noble odd old patient plain polished
    proud quick quiet rapid red restless round royal rough sharp shy silent small snowy soft
    sparkling spring still sturdy summer swift tall tidy twilight vivid wandering warm weathered
    white wild winter wispy wise yellow young
  )
  @nouns ~w(
    badger bird breeze brook bush butterfly cherry cloud cove creek darkness dawn dew dream dust
    feather field fire firefly flower fog forest frog frost glade glitter grass haze heron hill
    island lake lark leaf lynx meadow moon morning mountain night oak otter owl paper pebble pine
    pond rain reef resonance ridge river sea shadow shape silence sky smoke snow sound sparrow
    star stone sun sunset surf thunder tree valley violet voice water waterfall wave wildflower
    wind wood wren
  )

  @doc "A new random name."
  @spec generate() :: String.t()
  def generate do
    "#{Enum.random(@adjectives)}-#{Enum.random(@nouns)}-#{Enum.random(1_000..9_999)}"
  end
end
